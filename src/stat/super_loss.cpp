#include "stat/super_loss.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace expunge::stat {

double lambert_w0(double x) {
  constexpr double kBranch = -1 / std::numbers::e;
  if (x <= kBranch) return -1;
  double w;
  if (x < -0.3) {  // series at the branch point
    const double p = std::sqrt(2 * (std::numbers::e * x + 1));
    w = -1 + p - p * p / 3 + 11 * p * p * p / 72;
    if (p < 1e-4) return w;
  } else {
    w = x > 0 ? std::log1p(x) : x;
  }
  for (int i = 0; i < 8; ++i) {  // Halley
    const double e = std::exp(w), f = w * e - x;
    const double step = f / (e * (w + 1) - (w + 2) * f / (2 * (w + 1)));
    w -= step;
    if (std::fabs(step) <= 1e-16 * (1 + std::fabs(w))) break;
  }
  return w;
}

double super_loss_weight(double loss, double tau, double lambda) {
  const double beta = (loss - tau) / lambda;
  return std::exp(-lambert_w0(0.5 * std::max(-2 / std::numbers::e, beta)));
}

double super_loss(double loss, double tau, double lambda) {
  const double sigma = super_loss_weight(loss, tau, lambda), l = std::log(sigma);
  return (loss - tau) * sigma + lambda * l * l;
}

}  // namespace expunge::stat
