// Where the spread of a number comes from: nested variance components (Henderson's first method, as in
// Searle, Casella, McCulloch 1992, ch. 5), and how many seeds a gap needs. Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace expunge::stat {

// One observation: which training seed, which unlearning seed below it, and its value (one per evaluation
// seed).
struct Nested {
  std::int64_t training, unlearning;
  double value;
};

// Estimated variances; negative estimates are set to 0 in `share` only. A level without repetition has no
// estimate of its own (NaN): its variance is part of the level above.
struct VarianceComponents {
  double training, unlearning, evaluation;
  std::int64_t trainings = 0, unlearnings = 0, observations = 0;
  // Of the sum of the non-negative estimates; NaN where not estimated or the sum is 0.
  double share(double component) const;
};

VarianceComponents variance_components(std::span<const Nested> observations);

// The smallest number of seeds for which the half width of Student's interval of a mean (of paired
// differences with this standard deviation) is at most `gap`. 0 when the deviation or gap is no positive
// number, and at most `most`.
std::int64_t seeds_for_gap(double deviation, double gap, double level = 0.95, std::int64_t most = 1000000);

}  // namespace expunge::stat
