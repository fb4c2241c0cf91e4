// Expected calibration error (Guo et al. 2017): 15 bins of equal width over the confidence, the largest
// probability; mean over samples of |accuracy - confidence| of their bin.
#include <algorithm>
#include <array>
#include <cmath>

#include "core/numbers.hpp"
#include "metrics/metric.hpp"
#include "metrics/scores.hpp"

namespace expunge::metrics {
namespace calibration {

constexpr std::size_t kBins = 15;

double calibration_error(const Inputs& in, const std::string& split) {
  if (!has_logits(in, split)) return kNan;
  const Outputs& outputs = in.get(split);
  const auto log_p = log_probabilities(outputs);
  const auto right = correctness(outputs);
  const auto classes = static_cast<std::size_t>(outputs.classes);
  std::array<double, kBins> gap{};
  for (std::size_t i = 0; i < right.size(); ++i) {
    const auto begin = log_p.begin() + static_cast<std::ptrdiff_t>(i * classes);
    const double confidence =
        std::exp(*std::max_element(begin, begin + static_cast<std::ptrdiff_t>(classes)));
    // Bins are open below and closed above: 1/15 belongs to the first.
    const auto bin = static_cast<std::size_t>(std::max(0.0, std::ceil(confidence * kBins) - 1));
    gap[std::min(bin, kBins - 1)] += right[i] - confidence;
  }
  double sum = 0;
  for (const double g : gap) sum += std::fabs(g);
  return sum / static_cast<double>(right.size());
}

std::vector<Value> compute(const Inputs& in) {
  return {{"ece_test", calibration_error(in, "test")}, {"ece_forget", calibration_error(in, "forget")}};
}

const RegisterMetric registered({
    .name = "calibration",
    .summary = "expected calibration error on the test and forget splits",
    .source = "Guo et al. 2017",
    .columns = {{"ece_test", "ECE", "expected calibration error on the test split, 15 bins", -1, true},
                {"ece_forget", "ECE D_f", "the same on the forget split", 0, true}},
    .compute = compute,
});

}  // namespace calibration
}  // namespace expunge::metrics
