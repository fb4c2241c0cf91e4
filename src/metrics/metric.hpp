// Evaluation metrics: pure functions of gathered per-sample outputs, so they do not depend on the number of
// ranks. One file each, torch-free. They run on one rank.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/numbers.hpp"

namespace expunge::metrics {

// Per-sample outputs of one model on one split, in ascending id order.
struct Outputs {
  std::vector<std::int64_t> ids, labels;
  std::vector<float> logits;  // [n, classes]
  std::int64_t classes = 0;
  // Of a language model: a row is no logits, but three numbers about the answer's tokens: their mean negative
  // log-likelihood, how many were the likeliest, how many there are. Labels are 0.
  bool answers = false;
  std::int64_t size() const { return static_cast<std::int64_t>(ids.size()); }
  const float* row(std::int64_t i) const { return logits.data() + i * classes; }
};

// What a metric may look at.
struct Inputs {
  const Outputs& get(const std::string& name) const;  // InternalError when absent
  bool has(const std::string& name) const { return outputs.count(name) != 0; }
  // Names: "test", "forget", "retain", "val" (unlearned model); "original.test" ... (the original);
  // "random.0.forget" ... "random.4.forget", "random.0.test_sample" ... (untrained networks, same
  // architecture); "transfer.NAME", "original.transfer.NAME" (test samples of other data sets); "test_sample"
  // (the unlearned model on the keyed test sample that the random networks saw).
  std::map<std::string, Outputs> outputs;
  std::string method;  // the NegGrad gate differs
  std::int64_t classes = 0;
  std::uint64_t seed = 0;  // evaluation draws are keyed by it
  double original_test_accuracy = 0;
  // Costs of the run.
  double unlearn_flops = 0, eval_flops = 0, retrain_flops = 0;
  // See the metric relearn; NaN where nothing was trained for it.
  double relearn_passes = kNan;
};

// A column of /row. Fractions in [0, 1]; NaN = not defined.
struct Value {
  std::string column;
  double value;
};

// A leaderboard column's meaning; `better`: +1 higher, -1 lower, 0 neither.
struct Column {
  std::string name, title, help;
  int better = 0;
  bool percent = false;
};

struct Metric {
  std::string name, summary, source;  // "auc"
  std::vector<Column> columns;
  // What the engine must do for it beside evaluating the splits; such metrics cannot be recomputed from
  // stores.
  bool needs_random_networks = false, needs_relearning = false, needs_transfer = false;
  std::function<std::vector<Value>(const Inputs&)> compute;
};

const std::vector<const Metric*>& metrics();  // sorted by name
const Metric* find_metric(const std::string& name);
std::vector<std::string> metric_names();
struct RegisterMetric {
  explicit RegisterMetric(Metric metric);
};

}  // namespace expunge::metrics
