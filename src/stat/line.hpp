// A straight line through points by least squares, with Student's interval of its slope. Pure functions.
#pragma once

#include <cstdint>
#include <span>

namespace expunge::stat {

struct Line {
  std::int64_t count = 0;
  double slope, intercept;
  double r2;           // NaN when all y are equal
  double slope_error;  // standard error; NaN below three points
  double slope_half;   // half width of the slope's interval; NaN below three points
  double p;            // of slope 0, two-sided; NaN below three points
};

// NaN throughout below two points, or when all x are equal or a value is not finite.
Line fit_line(std::span<const double> x, std::span<const double> y, double level = 0.95);

}  // namespace expunge::stat
