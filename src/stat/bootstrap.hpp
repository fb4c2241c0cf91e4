// Bootstrap intervals with counter-based resamples: resample r draws its members from rng.sub(r), so the
// interval is a pure function of values and key.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/rng.hpp"

namespace expunge::stat {

inline constexpr std::int64_t kResamples = 2000;

struct Bounds {
  double low, high;  // NaN where the data do not allow an interval
};

// The `share` quantile of sorted values, linear between order statistics (type 7). NaN when empty.
double sorted_quantile(std::span<const double> sorted, double share);

// The members of resample r: positions in 0..size-1, with replacement. And those of all resamples, one after
// the other, for several statistics of the same resamples.
std::vector<std::uint32_t> resample(const Rng& rng, std::int64_t r, std::size_t size);
std::vector<std::uint32_t> resample_table(const Rng& rng, std::int64_t resamples, std::size_t size);

// Bias-corrected and accelerated interval of the mean (Efron 1987): bias from the share of resampled means
// below the mean (ties one half), acceleration from the jackknife. For equal values low = high = the value;
// NaN below two values. Meant for n >= 50: the bootstrap undercovers for few values.
Bounds bca_interval(std::span<const double> values, double level, std::int64_t resamples, const Rng& rng);
Bounds bca_interval(std::span<const double> values, double level, std::span<const std::uint32_t> table);

// The BCa interval from its parts: resampled statistics (any order), the statistic itself and its jackknife
// values.
Bounds bca_bounds(std::vector<double> resampled, double statistic, std::span<const double> jackknife,
                  double level);

}  // namespace expunge::stat
