// What one warm process keeps between cells: opened data sets, originals, outputs of untrained networks, the
// device.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "comm/communicator.hpp"
#include "comm/gpu.hpp"
#include "comm/runtime.hpp"
#include "data/dataset.hpp"
#include "engine/setup.hpp"
#include "metrics/metric.hpp"
#include "store/record.hpp"
#include "sweep/sweep.hpp"

namespace expunge {

struct RunOptions {
  bool fresh = false;                 // redo finished cells
  bool keep_outputs = false;          // per-sample outputs in cells' stores
  bool keep_models = false;           // unlearned models as folders
  double checkpoint_seconds = 300;    // time between periodic checkpoints
  std::int64_t checkpoint_steps = 0;  // beside the time: every so many steps (tests)
  std::int64_t teacher_megabytes = 256;
  bool flat_sums = false;         // ordered sums never add inside nodes first
  bool recompute_blocks = false;  // blocks of transformers run again in the backward pass
  bool cuda_graphs = false;       // on a GPU the student's passes are captured
  bool checkpoints = true;        // off: neither read nor written (verify, benchmarks)
  bool progress = true;
};

// A trained original as cells use it.
struct OriginalModel {
  std::filesystem::path folder;
  store::Record record;  // with outputs "train", "test", "val"
};

class Workbench {
 public:
  Workbench(comm::Runtime& runtime, sweep::Layout layout, RunOptions options);

  comm::Runtime& runtime;
  sweep::Layout layout;
  RunOptions options;
  torch::Device device = torch::kCPU;
  const comm::GpuPlugin* gpu = nullptr;  // null without a GPU

  // By choose_device (engine/device.hpp).
  void use_device(const std::string& wish);
  const data::Dataset& dataset(const std::string& name, const nlohmann::json& dataset_options);
  const OriginalModel& original(const std::string& id);
  // Outputs that many cells ask for (of untrained networks, of an original on another data set). `compute` is
  // collective.
  const metrics::Outputs& shared_outputs(const std::string& key,
                                         const std::function<metrics::Outputs()>& compute);

 private:
  std::map<std::string, std::shared_ptr<const data::Dataset>> datasets_;
  std::map<std::string, OriginalModel> originals_;
  std::map<std::string, metrics::Outputs> shared_outputs_;
};

}  // namespace expunge
