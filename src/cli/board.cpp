// expunge board: a board as a leaderboard, on the terminal or in files.
#include <fmt/format.h>

#include "board/render.hpp"
#include "cli/commands.hpp"
#include "core/error.hpp"
#include "core/files.hpp"

namespace expunge::cli {
namespace {

struct Format {
  const char *option, *help;
  std::string (*render)(const board::Leaderboard&);
};

const Format kFormats[] = {{"--md", "write Markdown", board::render_markdown},
                           {"--csv", "write comma-separated values, all columns", board::render_csv},
                           {"--json", "write JSON, groups and cells", board::render_json},
                           {"--html", "write one self-contained page", board::render_html}};

int run(Args& args) {
  std::vector<std::string> targets;
  for (const auto& format : kFormats)
    targets.push_back(
        args.option(format.option, "FILE", "", std::string(format.help) + "; - is standard output"));
  const auto words = args.positionals("BOARD.h5", 1, 1, "a board, or the folder of a sweep that holds one");
  args.finish();
  std::filesystem::path path = words[0];
  if (std::filesystem::is_directory(path)) path /= "board.h5";
  const auto table = board::read_board(path);
  const auto leaderboard = board::make_leaderboard(table);
  bool written = false;
  for (std::size_t i = 0; i < std::size(kFormats); ++i) {
    if (targets[i].empty()) continue;
    written = true;
    const auto text = kFormats[i].render(leaderboard);
    if (targets[i] == "-")
      fmt::print("{}", text);
    else
      write_file_atomic(targets[i], text);
  }
  if (!written) fmt::print("{}", board::render_text(leaderboard));
  return kExitOk;
}

const RegisterCommand entry{"board", "print a board as a leaderboard, or write it as a file", run};

}  // namespace
}  // namespace expunge::cli
