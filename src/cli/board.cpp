// expunge board: a board as a leaderboard, on the terminal or in files.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <string_view>

#include "board/families.hpp"
#include "board/plots.hpp"
#include "board/published.hpp"
#include "board/render.hpp"
#include "board/svg.hpp"
#include "cli/commands.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "data/dataset.hpp"
#include "methods/method.hpp"
#include "methods/taxonomy.hpp"

namespace expunge::cli {
namespace board_command {

struct Format {
  const char *option, *help;
  void (*write)(const board::Leaderboard&, const board::Rankings&, const board::Write&);
};

template <std::string (*render)(const board::Leaderboard&, const board::Rankings&)>
void whole(const board::Leaderboard& leaderboard, const board::Rankings& rankings,
           const board::Write& write) {
  write(render(leaderboard, rankings));
}

const Format kFormats[] = {{"--md", "write Markdown", whole<board::render_markdown>},
                           {"--latex", "write LaTeX tables (booktabs)", whole<board::render_latex>},
                           {"--csv", "write comma-separated values, all columns", whole<board::render_csv>},
                           {"--json", "write JSON: groups, cells, rankings", board::write_json},
                           {"--html", "write one self-contained page", whole<board::render_html>}};

// Into a file part by part, published when all is there.
void write_file(const std::string& path, const std::function<void(const board::Write&)>& fill) {
  const fs::path temporary = temporary_name(path);
  std::ofstream file(temporary, std::ios::binary);
  if (file) fill([&](std::string_view part) { file.write(part.data(), std::ssize(part)); });
  file.close();
  if (file) return publish_replace(temporary, path);
  const int error = errno;
  std::error_code ignored;
  fs::remove(temporary, ignored);
  throw DataError::cannot_write(fmt::format("{}: cannot write: {}", path, std::strerror(error)));
}

fs::path published_folder() { return data::project_folder() / "published"; }

void require_axis(const std::string& axis) {
  const auto& axes = methods::kTaxonomyAxes;
  if (!axis.empty() && std::find(axes.begin(), axes.end(), axis) == axes.end())
    throw UsageError(fmt::format("--by: unknown \"{}\"{}", axis, did_you_mean(axis, axes)));
}

int run(Args& args) {
  std::vector<std::string> targets;
  for (const auto& format : kFormats)
    targets.push_back(
        args.option(format.option, "FILE", "", std::string(format.help) + "; - is standard output"));
  const auto svg = args.option("--svg", "DIR", "", "write every picture as an SVG file of its own");
  const auto rank =
      args.option("--rank", "COLUMN", "", "what methods are ranked by first (overall, where it is defined)");
  const auto by = args.option("--by", "AXIS", "",
                              "print tables by families of methods: " + join(methods::kTaxonomyAxes, ", "));
  const auto published = args.option(
      "--published", "NAME", "",
      "print the board beside a paper's tables: " + join(board::published_names(published_folder()), ", "));
  const auto words = args.positionals("BOARD.h5", 1, 1, "a board, or the folder of a sweep that holds one");
  args.finish();
  require_axis(by);
  std::filesystem::path path = words[0];
  if (std::filesystem::is_directory(path)) path /= "board.h5";
  const auto table = board::read_board(path);
  const auto leaderboard = board::make_leaderboard(table);
  const auto rankings = board::make_rankings(leaderboard, rank);
  bool written = false;
  for (std::size_t i = 0; i < std::size(kFormats); ++i) {
    if (targets[i].empty()) continue;
    written = true;
    const auto fill = [&](const board::Write& write) { kFormats[i].write(leaderboard, rankings, write); };
    if (targets[i] == "-")
      fill([](std::string_view part) { fmt::print("{}", part); });
    else
      write_file(targets[i], fill);
  }
  if (!svg.empty()) {
    written = true;
    make_folder(svg);
    for (const auto& picture : board::pictures(leaderboard, rankings))
      write_file_atomic(fs::path(svg) / (picture.name + ".svg"), board::standalone(picture.svg));
  }
  if (!by.empty()) {
    written = true;
    fmt::print("{}", board::render_families(leaderboard, by, [&](const std::string& method) {
                 const auto* descriptor = methods::find_descriptor(method);
                 return descriptor ? methods::at_axis(descriptor->taxonomy, by) : "";
               }));
  }
  if (!published.empty()) {
    written = true;
    fmt::print("{}",
               board::render_published(leaderboard, board::read_published(published_folder(), published)));
  }
  if (!written) fmt::print("{}", board::render_text(leaderboard, rankings));
  return kExitOk;
}

const RegisterCommand entry{"board", "print a board as a leaderboard, or write it as a file", run};

}  // namespace board_command
}  // namespace expunge::cli
