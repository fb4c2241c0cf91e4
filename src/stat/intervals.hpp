// Means with Student's t intervals. Pure functions.
#pragma once

#include <cstdint>
#include <span>

namespace expunge::stat {

double mean(std::span<const double> values);              // NaN when empty
double sample_deviation(std::span<const double> values);  // divisor n - 1; NaN below two values

// The regularised incomplete beta function I_x(a, b), for a, b > 0 and x in [0, 1]: continued fraction of
// DLMF 8.17.22.
double incomplete_beta(double a, double b, double x);

// P(T <= t) and its inverse for Student's t with `freedom` > 0 degrees of freedom; `probability` in (0, 1).
double student_t_probability(double t, double freedom);
double student_t_quantile(double probability, double freedom);

// mean +- half_width covers the true mean with probability `level` when the values are normal.
struct Interval {
  std::int64_t count = 0;
  double mean, deviation, half_width;  // deviation and half width are NaN below two values, the mean for none
};
Interval t_interval(std::span<const double> values, double level = 0.95);

}  // namespace expunge::stat
