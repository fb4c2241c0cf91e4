// `expunge verify`: computes a store's cell again and compares bits and metrics.
#include "cli/commands.hpp"
#include "cli/engine_entry.hpp"

namespace expunge::cli {
namespace verify_command {

int run(Args& args) {
  nlohmann::json request;
  request["device"] = args.option("--device", "auto|cpu|cuda", "auto", "auto: GPUs where a driver answers");
  request["file"] =
      args.positionals("FILE.h5", 1, 1, "the store of a cell or of an original, in its sweep's folder")
          .front();
  args.finish();
  return run_engine("verify", request);
}

const RegisterCommand entry{"verify", "compute a store's cell again; exit 1 unless every bit is equal", run};

}  // namespace verify_command
}  // namespace expunge::cli
