#include <cmath>

#include "core/numbers.hpp"
#include "metrics/metric.hpp"
#include "metrics/overall_score.hpp"
#include "metrics/scores.hpp"
#include "metrics/sums.hpp"

namespace expunge::metrics {

OverallScore overall_score(double test, double original_test, double forget, double random,
                           double test_gate) {
  constexpr double kForgetGate = 0.2;
  if (std::isnan(test) || std::isnan(forget) || std::isnan(random) || !(original_test > 0))
    return {kNan, kNan};
  const double kept = 1 - std::fabs(test - original_test), forgotten = 1 - std::fabs(forget - random);
  const double sum = kept + forgotten;
  const double ungated = sum > 0 ? 2 * kept * forgotten / sum : 0;
  const bool damaged = std::fabs(test - original_test) / original_test > test_gate;
  const bool overdone = forget < random && (random - forget) / random > kForgetGate;
  return {damaged || overdone ? 0 : ungated, ungated};
}

namespace overall {

std::vector<Value> compute(const Inputs& in) {
  const double random = in.classes > 0 ? 1 / static_cast<double>(in.classes) : kNan;
  // Gradient ascent harms the test accuracy by design, so MU-Bench allows it more.
  const double gate = in.method == "neggrad" ? 0.4 : 0.2;
  const OverallScore score = overall_score(split_accuracy(in, "test"), in.original_test_accuracy,
                                           split_accuracy(in, "forget"), random, gate);
  return {{"overall", score.gated}, {"overall_ungated", score.ungated}};
}

const RegisterMetric registered({
    .name = "overall",
    .summary = "harmonic mean of kept test accuracy and closeness of D_f to the random level",
    .source = "methods.md 5.5",
    .columns = {{"overall", "Overall", "0 where the test accuracy or D_f left its gate", 1, true},
                {"overall_ungated", "Overall, ungated", "the same score without the gates", 1, true}},
    .compute = compute,
});

}  // namespace overall
}  // namespace expunge::metrics
