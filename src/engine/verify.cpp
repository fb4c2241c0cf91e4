// `expunge verify`: computes a store's node again and compares every science field bit for bit.
#include <cmath>
#include <cstring>

#include "core/error.hpp"
#include "core/files.hpp"
#include "engine/cell.hpp"
#include "engine/run.hpp"
#include "store/store_file.hpp"

namespace expunge {
namespace {

bool same_bits(double a, double b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}

// Prints what differs; true when nothing does.
bool report(const store::Record& stored, const store::Record& again) {
  std::vector<std::string> differences;
  if (stored.status != again.status)
    differences.push_back(fmt::format("status: stored {}, now {}", stored.status, again.status));
  if (stored.parameter_hash != again.parameter_hash)
    differences.push_back(
        fmt::format("parameters: stored {}, now {}", stored.parameter_hash, again.parameter_hash));
  for (std::size_t i = 0; i < stored.row_names.size() && i < again.row.size(); ++i)
    if (!same_bits(stored.row[i], again.row[i]))
      differences.push_back(
          fmt::format("{}: stored {:.17g}, now {:.17g}", stored.row_names[i], stored.row[i], again.row[i]));
  const std::string before = store::science_sha256(stored), now = store::science_sha256(again);
  if (before != now && differences.empty())
    differences.push_back(fmt::format("science_sha256: stored {}, now {}", before, now));
  fmt::print("{}\n", stored.key);
  for (const auto& d : differences) fmt::print("  {}\n", d);
  fmt::print("{}: parameters {}, {} metrics, science {:.16}\n", differences.empty() ? "equal" : "NOT EQUAL",
             stored.parameter_hash, stored.row.size(), before);
  std::fflush(stdout);
  return differences.empty();
}

}  // namespace

int verify_store(comm::Runtime& runtime, const nlohmann::json& request) {
  comm::Communicator& world = runtime.world();
  const std::filesystem::path file = std::filesystem::absolute(request.at("file").get<std::string>());
  store::Record stored;
  world.together([&] { stored = store::read_record(file); });
  // OUT/SWEEP/cells/ab/ID.h5 or OUT/SWEEP/originals/ID/store.h5: three folders up is the sweep's.
  const sweep::Layout layout{file.parent_path().parent_path().parent_path()};
  RunOptions options;
  options.checkpoints = false;
  options.keep_outputs = false;
  Workbench bench(runtime, layout, options);
  bench.use_device(request.value("device", "auto"));
  const auto ranks = comm::make_transport(world, "auto", bench.gpu);
  store::Record again;
  if (stored.kind == "original") {
    again = train_original(bench, *ranks, original_of_record(stored), {stored.sweep, "", {}, {}}, false);
  } else {
    const auto& c = stored.config;
    const SweepFacts facts{stored.sweep, "", c.at("metrics").get<std::vector<std::string>>(),
                           c.at("row_names").get<std::vector<std::string>>()};
    again = compute_cell(bench, *ranks, cell_of_record(stored), facts);
  }
  int equal = 1;
  if (world.rank() == 0) equal = report(stored, again) ? 1 : 0;
  world.broadcast(&equal, sizeof equal, 0);
  return equal ? kExitOk : kExitNotAsAsked;
}

}  // namespace expunge
