// Area under the ROC curve by ranks (the Mann-Whitney statistic with ties counted one half), whole and over
// keyed resamples. Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/rng.hpp"

namespace expunge::stat {

// For each positive, 2 * #{negatives below it} + #{negatives equal to it}: its contribution to the AUC, as an
// integer, so that sums are exact and do not depend on order. O((p + n) log n). Scores must not be NaN.
std::vector<std::int64_t> doubled_wins(std::span<const double> positives, std::span<const double> negatives);

// Share of (positive, negative) pairs with the positive above, ties one half. NaN when a side is empty or a
// score is NaN.
double auc(std::span<const double> positives, std::span<const double> negatives);

struct Resampled {
  double mean, deviation;  // deviation: sample standard deviation (divisor resamples - 1), 0 for one resample
};

// AUC of `negatives` against `resamples` subsets of `positives` of the negatives' size (all of them when
// there are fewer), each drawn without replacement: subset r is rng.sub(r).sample(size, positives.size()).
// NaN as for `auc`. O(p log n + resamples * n).
Resampled resampled_auc(std::span<const double> positives, std::span<const double> negatives,
                        std::int64_t resamples, const Rng& rng);

}  // namespace expunge::stat
