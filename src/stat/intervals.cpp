#include "stat/intervals.hpp"

#include <algorithm>
#include <cmath>

#include "core/numbers.hpp"

namespace expunge::stat {
namespace {

// The continued fraction of I_x(a, b) by Lentz's method; converges quickly for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double out = d;
  const auto step = [&](double numerator) {
    d = 1 + numerator * d;
    d = 1 / (std::abs(d) < kTiny ? kTiny : d);
    c = 1 + numerator / c;
    if (std::abs(c) < kTiny) c = kTiny;
    out *= c * d;
    return std::abs(c * d - 1);
  };
  for (int m = 1; m < 10000; ++m) {
    step(m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)));
    if (step(-(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))) < 1e-16) break;
  }
  return out;
}

}  // namespace

double mean(std::span<const double> values) {
  if (values.empty()) return kNan;
  double sum = 0;
  for (double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

double sample_deviation(std::span<const double> values) {
  if (values.size() < 2) return kNan;
  const double center = mean(values);
  double sum = 0;
  for (double v : values) sum += (v - center) * (v - center);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

double incomplete_beta(double a, double b, double x) {
  if (!(a > 0) || !(b > 0) || !(x >= 0) || x > 1) return kNan;
  if (x == 0 || x == 1) return x;
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double student_t_probability(double t, double freedom) {
  const double tail = incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2;
  return t < 0 ? tail : 1 - tail;
}

double student_t_quantile(double probability, double freedom) {
  if (!(probability > 0) || !(probability < 1) || !(freedom > 0)) return kNan;
  if (probability == 0.5) return 0;
  if (probability < 0.5) return -student_t_quantile(1 - probability, freedom);
  double low = 0, high = 1;
  while (student_t_probability(high, freedom) < probability && high < 1e300) high *= 2;
  // Bisection: monotone, and 200 halvings end at neighbouring numbers.
  for (int i = 0; i < 200 && low < high; ++i) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (student_t_probability(middle, freedom) < probability ? low : high) = middle;
  }
  return high;
}

Interval t_interval(std::span<const double> values, double level) {
  const auto n = static_cast<std::int64_t>(values.size());
  const double deviation = sample_deviation(values);
  double half_width = kNan;
  if (n >= 2)
    half_width = student_t_quantile(0.5 + level / 2, static_cast<double>(n - 1)) * deviation /
                 std::sqrt(static_cast<double>(n));
  return {n, mean(values), deviation, half_width};
}

}  // namespace expunge::stat
