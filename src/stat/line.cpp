#include "stat/line.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/numbers.hpp"
#include "stat/intervals.hpp"

namespace expunge::stat {

Line fit_line(std::span<const double> x, std::span<const double> y, double level) {
  EXPUNGE_CHECK(x.size() == y.size(), "{} x for {} y", x.size(), y.size());
  Line out{static_cast<std::int64_t>(x.size()), kNan, kNan, kNan, kNan, kNan, kNan};
  const auto finite = [](double v) { return std::isfinite(v); };
  if (x.size() < 2 || !std::ranges::all_of(x, finite) || !std::ranges::all_of(y, finite)) return out;
  const double mx = mean(x), my = mean(y);
  double xx = 0, xy = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mx) * (x[i] - mx);
    xy += (x[i] - mx) * (y[i] - my);
    yy += (y[i] - my) * (y[i] - my);
  }
  if (!(xx > 0)) return out;
  out.slope = xy / xx;
  out.intercept = my - out.slope * mx;
  if (yy > 0) out.r2 = std::min(1.0, xy * xy / (xx * yy));
  const double freedom = static_cast<double>(x.size()) - 2;
  if (freedom < 1) return out;
  double residual = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double e = y[i] - my - out.slope * (x[i] - mx);
    residual += e * e;
  }
  out.slope_error = std::sqrt(residual / freedom / xx);
  out.slope_half = student_t_quantile((1 + level) / 2, freedom) * out.slope_error;
  const double t = out.slope / out.slope_error;
  out.p = out.slope_error > 0 ? incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))
                              : (out.slope == 0 ? 1 : 0);
  return out;
}

}  // namespace expunge::stat
