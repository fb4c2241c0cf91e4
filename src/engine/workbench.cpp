#include "engine/workbench.hpp"

#include "core/error.hpp"
#include "engine/device.hpp"
#include "store/store_file.hpp"

namespace expunge {

Workbench::Workbench(comm::Runtime& r, sweep::Layout l, RunOptions o)
    : runtime(r), layout(std::move(l)), options(o) {}

void Workbench::use_device(const std::string& wish) {
  const Device chosen = choose_device(runtime, wish);
  device = chosen.where;
  gpu = chosen.gpu;
}

const data::Dataset& Workbench::dataset(const std::string& name, const nlohmann::json& dataset_options) {
  auto& slot = datasets_[name + dataset_options.dump()];
  if (!slot) slot = data::open(name, dataset_options);
  return *slot;
}

const OriginalModel& Workbench::original(const std::string& id) {
  auto found = originals_.find(id);
  if (found == originals_.end()) {
    OriginalModel o;
    o.folder = layout.original_folder(id);
    o.record = store::read_record(layout.original_store(id));
    found = originals_.emplace(id, std::move(o)).first;
  }
  return found->second;
}

const metrics::Outputs& Workbench::shared_outputs(const std::string& key,
                                                  const std::function<metrics::Outputs()>& compute) {
  auto found = shared_outputs_.find(key);
  if (found == shared_outputs_.end()) found = shared_outputs_.emplace(key, compute()).first;
  return found->second;
}

}  // namespace expunge
