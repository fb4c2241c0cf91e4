#include "metrics/metric.hpp"

namespace expunge::metrics {
namespace {

std::vector<Value> compute(const Inputs&) { return {}; }

const RegisterMetric registered({
    .name = "mia",
    .summary = "membership inference by logistic regression on the softmax output",
    .source = "methods.md 5.3",
    .columns = {{"mia_success", "MIA",
                 "share of D_f that an attacker on the output's entropy calls training data", -1, true},
                {"mia_false_positive", "MIA false positives",
                 "the same share of held-out unseen samples: D_f at this rate looks unseen", 0, true},
                {"mia_success_confidence", "MIA (confidence)",
                 "share of D_f called training data by an attacker on p(label)", -1, true},
                {"mia_ratio", "MI ratio",
                 "mean membership probability of D_f before over after unlearning; attacker of the original",
                 1, false},
                {"mia_ratio_retain", "MI ratio D_r",
                 "the same ratio on retained samples: a high value is damage, not unlearning", 0, false}},
    .compute = compute,
});

}  // namespace
}  // namespace expunge::metrics
