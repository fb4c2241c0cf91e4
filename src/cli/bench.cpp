// `expunge bench step|allreduce|store`: measures parts of the program; step and allreduce under mpirun with
// that many ranks.
#include "cli/bench_store.hpp"
#include "cli/commands.hpp"
#include "cli/engine_entry.hpp"
#include "core/error.hpp"
#include "core/text.hpp"

namespace expunge::cli {
namespace {

int run(Args& args) {
  nlohmann::json request;
  request["model"] = args.option("--model", "NAME", "resnet20", "step: model");
  request["channels"] = args.integer("--channels", "N", 3, 1, "step: image channels");
  request["size"] = args.integer("--size", "N", 32, 1, "step: image height and width, pixels");
  request["classes"] = args.integer("--classes", "N", 10, 2, "step: classes");
  request["batch"] = args.integer("--batch", "N", 128, 1, "step: global batch, samples");
  request["grain"] = args.integer("--grain", "N", 0, 0, "step: samples of a grain; 0 = the default rule");
  request["steps"] = args.integer("--steps", "N", 20, 1, "step: measured steps of a round");
  const auto count = args.integer("--count", "N", 10000, 1, "store: stores to publish and merge");
  const auto folder = args.option("--out", "DIR", ".", "store: where they are written, and removed again");
  const auto what = args.positionals("step|allreduce|store", 1, 1, "what to measure").front();
  args.finish();
  if (what == "store") return bench_store(folder, count);
  if (what != "step" && what != "allreduce")
    throw UsageError("bench: unknown \"" + what + "\"" + did_you_mean(what, {"step", "allreduce", "store"}));
  return run_engine("bench-" + what, request);
}

const RegisterCommand entry{
    "bench", "measure a training step, the ordered reduction, or publishing and merging stores", run};

}  // namespace
}  // namespace expunge::cli
