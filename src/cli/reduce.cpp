// expunge reduce: the stores of a sweep's folder become one board.
#include <fmt/format.h>

#include "board/merge.hpp"
#include "board/recompute.hpp"
#include "cli/commands.hpp"
#include "core/error.hpp"
#include "core/text.hpp"

namespace expunge::cli {
namespace reduce_command {

void say(const board::Recomputed& done) {
  fmt::print("recomputed {} cells\n", done.cells);
  for (const auto& [reason, count] : done.skipped)
    fmt::print("not recomputed: {} cells: {}\n", count, reason);
}

int run(Args& args) {
  const auto output = args.option("-o", "FILE", "", "where the board goes; DIR/board.h5 when not given");
  const auto readers =
      args.integer("--readers", "N", 0, 0, "stores that are read at once; 0 = a few per core at hand");
  const bool full = args.flag("--full", "read every store again, not only those that are new or changed");
  std::vector<std::string> metrics;
  for (const auto& list :
       args.repeated("--recompute", "METRIC", "compute these metrics' columns from kept outputs"))
    for (const auto& name : split(list, ',')) metrics.push_back(name);
  const auto words = args.positionals("DIR", 1, 1, "folder of a sweep (OUT/SWEEP)");
  args.finish();
  const std::filesystem::path folder = words[0];
  std::error_code ignored;
  if (full) std::filesystem::remove(board::index_path(folder), ignored);
  auto merged = board::merge(folder, static_cast<int>(readers), board::index_path(folder));
  if (!metrics.empty()) say(board::recompute(folder, metrics, merged.board));
  try {
    board::write_board(output.empty() ? folder / "board.h5" : std::filesystem::path(output), merged.board);
  } catch (const DataError& error) {
    throw Error(kExitInternal, error.what());  // reduce's own code for "could not write"
  }
  fmt::print("{}", board::report(merged));
  return merged.board.merged() == merged.board.rows.size() ? kExitOk : kExitIncomplete;
}

const RegisterCommand entry{"reduce", "merge the stores of a sweep into a board", run};

}  // namespace reduce_command
}  // namespace expunge::cli
