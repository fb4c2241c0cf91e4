#include "stat/bootstrap.hpp"

#include <algorithm>
#include <cmath>

#include "core/numbers.hpp"
#include "stat/distributions.hpp"
#include "stat/intervals.hpp"

namespace expunge::stat {
namespace {

// sum d^3 / (6 (sum d^2)^(3/2)) of the jackknife values' deviations below their mean.
double acceleration(std::span<const double> jackknife) {
  const double center = mean(jackknife);
  double squares = 0, cubes = 0;
  for (const double v : jackknife) {
    const double d = center - v;
    squares += d * d;
    cubes += d * d * d;
  }
  return squares > 0 ? cubes / (6 * std::pow(squares, 1.5)) : 0;
}

}  // namespace

double sorted_quantile(std::span<const double> sorted, double share) {
  if (sorted.empty() || std::isnan(share)) return kNan;
  const double at = std::clamp(share, 0.0, 1.0) * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const auto above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

std::vector<std::uint32_t> resample(const Rng& rng, std::int64_t r, std::size_t size) {
  const Rng own = rng.sub(static_cast<std::uint64_t>(r));
  std::vector<std::uint32_t> out(size);
  // Four draws a block: 32 random bits each are enough for a position (bias below size / 2^32).
  for (std::size_t i = 0; i < size; i += 4) {
    const Philox4 bits = philox(own.key(), i / 4, 0);
    for (std::size_t k = i; k < std::min(size, i + 4); ++k)
      out[k] = static_cast<std::uint32_t>((std::uint64_t{bits[k - i]} * size) >> 32);
  }
  return out;
}

Bounds bca_bounds(std::vector<double> resampled, double statistic, std::span<const double> jackknife,
                  double level) {
  if (resampled.empty() || jackknife.size() < 2) return {kNan, kNan};
  std::sort(resampled.begin(), resampled.end());
  const auto below = std::lower_bound(resampled.begin(), resampled.end(), statistic);
  const auto upto = std::upper_bound(below, resampled.end(), statistic);
  const auto count = static_cast<double>(resampled.size());
  const double share =
      (static_cast<double>(below - resampled.begin()) + 0.5 * static_cast<double>(upto - below)) / count;
  if (share <= 0 || share >= 1) return {resampled.front(), resampled.back()};
  const double bias = normal_quantile(share), a = acceleration(jackknife);
  const auto bound = [&](double probability) {
    const double z = bias + normal_quantile(probability);
    return sorted_quantile(resampled, normal_probability(bias + z / (1 - a * z)));
  };
  return {bound((1 - level) / 2), bound((1 + level) / 2)};
}

std::vector<std::uint32_t> resample_table(const Rng& rng, std::int64_t resamples, std::size_t size) {
  std::vector<std::uint32_t> out;
  out.reserve(static_cast<std::size_t>(resamples) * size);
  for (std::int64_t r = 0; r < resamples; ++r) {
    const auto members = resample(rng, r, size);
    out.insert(out.end(), members.begin(), members.end());
  }
  return out;
}

Bounds bca_interval(std::span<const double> values, double level, std::span<const std::uint32_t> table) {
  const std::size_t n = values.size();
  if (n < 2 || std::ranges::any_of(values, [](double v) { return !std::isfinite(v); })) return {kNan, kNan};
  if (std::ranges::all_of(values, [&](double v) { return v == values.front(); }))
    return {values.front(), values.front()};
  std::vector<double> means(table.size() / n), jackknife(n);
  for (std::size_t r = 0; r < means.size(); ++r) {
    double sum = 0;
    for (const std::uint32_t i : table.subspan(r * n, n)) sum += values[i];
    means[r] = sum / static_cast<double>(n);
  }
  const double center = mean(values), total = center * static_cast<double>(n);
  for (std::size_t i = 0; i < n; ++i) jackknife[i] = (total - values[i]) / static_cast<double>(n - 1);
  return bca_bounds(std::move(means), center, jackknife, level);
}

Bounds bca_interval(std::span<const double> values, double level, std::int64_t resamples, const Rng& rng) {
  return bca_interval(values, level, resample_table(rng, resamples, values.size()));
}

}  // namespace expunge::stat
