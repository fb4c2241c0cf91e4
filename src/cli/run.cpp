// `expunge run`: computes what is missing of a sweep. Alone, under mpirun and under srun.
#include "cli/commands.hpp"
#include "cli/engine_entry.hpp"
#include "core/signals.hpp"

namespace expunge::cli {
namespace run_command {

int run(Args& args) {
  install_signal_handlers();
  nlohmann::json request;
  request["out"] = args.option("--out", "DIR", "results", "output folder; the sweep's own is DIR/SWEEP");
  request["cells"] = args.option(
      "--cells", "0-31|ID,...", "",
      "only these cells: indices, ranges or ids of `expunge plan --cells`, or @FILE:LINE with such a list");
  request["only"] =
      args.option("--only", "originals|cells", "",
                  "only the originals that the cells need, or only the cells (66 without their original)");
  request["max_restarts"] =
      args.integer("--max-restarts", "N", -1, 0, "exit 86 when the scheduler has restarted this more often");
  request["ranks_per_cell"] =
      args.integer("--ranks-per-cell", "N", 0, 0, "ranks that work on one cell; 0 = as the plan says");
  request["set"] = args.repeated("--set", "SECTION.KEY=VALUE", "overrides a setting of the job file");
  request["sharing"] =
      args.option("--sharing", "all|auto|N", "all",
                  "of the ranks on one GPU (without GPUs: on one node) so many compute cells "
                  "at the same time; auto: measured");
  request["device"] = args.option("--device", "auto|cpu|cuda", "auto", "auto: GPUs where a driver answers");
  request["fresh"] = args.flag("--fresh", "compute finished cells again");
  request["job"] = args.positionals("JOB.toml", 1, 1, "the job file").front();
  args.finish();
  return run_engine("run", request);
}

const RegisterCommand entry{"run", "compute the missing cells of a sweep (also under mpirun and srun)", run};

}  // namespace run_command
}  // namespace expunge::cli
