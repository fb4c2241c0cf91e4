// Exact sums of one split: what accuracies, the stored /metrics/<split> and the confusion matrix are made of.
#pragma once

#include <cstdint>
#include <vector>

#include "metrics/metric.hpp"

namespace expunge::metrics {

// Confusion matrices of more classes than this are not kept.
inline constexpr std::int64_t kMaxConfusionClasses = 256;

struct Sums {
  std::int64_t count = 0, correct = 0, classes = 0;
  double loss_sum = 0;                  // cross-entropy in nats, added in sample order
  std::vector<std::int64_t> confusion;  // [classes, classes], row = label; empty above kMaxConfusionClasses
  double accuracy() const;              // NaN when count is 0 or the loss is not finite
};

// Of a language model's answers: counts are tokens, classes is 0, loss_sum is over tokens.
//
// A sample with a logit that is not finite has no prediction: it is counted, is not correct, is in no cell of
// the confusion matrix, and makes the loss NaN.
Sums split_sums(const Outputs& outputs);
// Accuracy on these outputs of an evaluation; NaN where they are absent, empty or not finite.
double split_accuracy(const Inputs& in, const std::string& name);

}  // namespace expunge::metrics
