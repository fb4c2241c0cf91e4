// Zero-shot transfer: accuracy on data of another kind that nothing was trained on, and whether unlearning
// changed it more than it changed D_test (effective robustness).

#include "core/numbers.hpp"
#include "metrics/metric.hpp"
#include "metrics/sums.hpp"

namespace expunge::metrics {
namespace transfer {

std::vector<Value> compute(const Inputs& in) {
  const std::string prefix = "transfer.";
  double after = 0, before = 0;
  int sets = 0;
  for (const auto& [name, unused] : in.outputs)
    if (name.rfind(prefix, 0) == 0) {
      after += split_accuracy(in, name);
      before += split_accuracy(in, "original." + name);
      ++sets;
    }
  const double accuracy_there = sets > 0 ? after / sets : kNan,
               change = sets > 0 ? (after - before) / sets : kNan;
  return {
      {"transfer_accuracy", accuracy_there},
      {"transfer_change", change},
      {"transfer_robustness", change - (split_accuracy(in, "test") - split_accuracy(in, "original.test"))}};
}

const RegisterMetric registered({
    .name = "transfer",
    .summary = "accuracy on the test samples of evaluate.transfer's data sets, untuned; means over them",
    .source = "methods.md 5.8",
    .columns = {{"transfer_accuracy", "Transfer", "accuracy on the data sets of evaluate.transfer", 1, true},
                {"transfer_change", "Δ transfer", "the same minus the original's", 1, true},
                {"transfer_robustness", "Δ robustness",
                 "change of the transfer accuracy minus change of the test accuracy, both from the original",
                 1, true}},
    .needs_transfer = true,
    .compute = compute,
});

}  // namespace transfer
}  // namespace expunge::metrics
