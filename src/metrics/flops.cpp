// What the run cost, as counted by the engine's ledger. Seconds are not science: they live in /timing.
#include <cmath>

#include "core/numbers.hpp"
#include "metrics/metric.hpp"

namespace expunge::metrics {
namespace flops {

std::vector<Value> compute(const Inputs& in) {
  const bool priced = std::isfinite(in.retrain_flops) && in.retrain_flops > 0;
  return {{"unlearn_flops", in.unlearn_flops},
          {"eval_flops", in.eval_flops},
          {"percent_of_retrain", priced ? in.unlearn_flops / in.retrain_flops : kNan}};
}

const RegisterMetric registered({
    .name = "flops",
    .summary = "floating-point operations of unlearning and evaluation, and their share of retraining",
    .source = "methods.md 5.9",
    .columns = {{"unlearn_flops", "FLOPs", "operations of unlearning, teachers and one-shot passes included",
                 -1, false},
                {"eval_flops", "Eval FLOPs",
                 "operations of the evaluation, not part of the cost of unlearning", 0, false},
                {"percent_of_retrain", "% of retrain",
                 "operations of unlearning over those of retraining on D_r", -1, true}},
    .compute = compute,
});

}  // namespace flops
}  // namespace expunge::metrics
