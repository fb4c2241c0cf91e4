#include "metrics/metric.hpp"

namespace expunge::metrics {
namespace {

std::vector<Value> compute(const Inputs&) { return {}; }

const RegisterMetric registered({
    .name = "auc",
    .summary = "how well the model's scores tell retained from deleted samples (D_f|D_r)",
    .source = "methods.md 5.2",
    .columns =
        {{"auc_gold_prob", "AUC",
          "probability that a retained sample's p(label) exceeds a deleted one's; mean of 500 resamples", 1,
          true},
         {"auc_gold_prob_sd", "AUC sd", "standard deviation of the AUC over the resamples", 0, true},
         {"auc_correct", "AUC (correct)", "the same with correctness as the score (MU-Bench)", 1, true},
         {"auc_class_prob", "AUC (class)",
          "the same with class probabilities, 5 disjoint chunks of D_r (MultiDelete)", 1, true},
         {"auc_down", "1 - AUC", "1 minus the AUC of p(label)", -1, true}},
    .compute = compute,
});

}  // namespace
}  // namespace expunge::metrics
