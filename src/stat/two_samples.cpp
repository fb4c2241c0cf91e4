#include "stat/two_samples.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/numbers.hpp"
#include "stat/distributions.hpp"

namespace expunge::stat {
namespace {

constexpr std::size_t kMostExact = 10000;

// P(D >= h / n) for two samples of n: 2 sum_k (-1)^(k+1) C(2n, n - kh) / C(2n, n).
double exact_tail(std::int64_t n, std::int64_t h) {
  if (h <= 0) return 1;
  double sum = 0;
  const auto size = static_cast<double>(n);
  for (std::int64_t k = 1; k * h <= n; ++k) {
    const auto shift = static_cast<double>(k * h);
    const double log_ratio =
        2 * std::lgamma(size + 1) - std::lgamma(size - shift + 1) - std::lgamma(size + shift + 1);
    sum += (k % 2 ? 2 : -2) * std::exp(log_ratio);
  }
  return std::clamp(sum, 0.0, 1.0);
}

}  // namespace

KolmogorovSmirnov kolmogorov_smirnov(std::span<const double> a, std::span<const double> b) {
  std::vector<double> x(a.begin(), a.end()), y(b.begin(), b.end());
  const auto is_nan = [](double v) { return std::isnan(v); };
  if (x.empty() || y.empty() || std::ranges::any_of(x, is_nan) || std::ranges::any_of(y, is_nan))
    return {kNan, kNan, false};
  std::sort(x.begin(), x.end());
  std::sort(y.begin(), y.end());
  const auto m = static_cast<std::int64_t>(x.size()), n = static_cast<std::int64_t>(y.size());
  std::int64_t largest = 0;  // of |i n - j m|, an integer
  for (std::size_t i = 0, j = 0; i < x.size() && j < y.size();) {
    const double at = std::min(x[i], y[j]);
    while (i < x.size() && x[i] == at) ++i;
    while (j < y.size() && y[j] == at) ++j;
    largest =
        std::max(largest, std::abs(static_cast<std::int64_t>(i) * n - static_cast<std::int64_t>(j) * m));
  }
  const double distance = static_cast<double>(largest) / (static_cast<double>(m) * static_cast<double>(n));
  if (m == n && x.size() <= kMostExact) return {distance, exact_tail(n, largest / n), true};
  const double scale =
      std::sqrt(static_cast<double>(m) * static_cast<double>(n) / static_cast<double>(m + n));
  return {distance, kolmogorov_tail(scale * distance), false};
}

}  // namespace expunge::stat
