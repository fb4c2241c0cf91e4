#include "stat/distributions.hpp"

#include <cmath>
#include <numbers>

#include "core/numbers.hpp"
#include "stat/intervals.hpp"

namespace expunge::stat {
namespace {

constexpr int kTerms = 100000;

// x^a e^-x / Gamma(a)
double gamma_front(double a, double x) { return std::exp(a * std::log(x) - x - std::lgamma(a)); }

// The lower regularised incomplete gamma function by its series; for x < a + 1.
double gamma_series(double a, double x) {
  double term = 1 / a, sum = term;
  for (int n = 1; n < kTerms && term > sum * 1e-17; ++n) {
    term *= x / (a + n);
    sum += term;
  }
  return sum * gamma_front(a, x);
}

// The upper one by its continued fraction (Lentz); for x >= a + 1.
double gamma_fraction(double a, double x) {
  constexpr double kTiny = 1e-300;
  double b = x + 1 - a, c = 1 / kTiny, d = 1 / b, out = d;
  for (int n = 1; n < kTerms; ++n) {
    const double numerator = -n * (n - a);
    b += 2;
    d = numerator * d + b;
    d = 1 / (std::abs(d) < kTiny ? kTiny : d);
    c = b + numerator / c;
    if (std::abs(c) < kTiny) c = kTiny;
    out *= c * d;
    if (std::abs(c * d - 1) < 1e-16) break;
  }
  return out * gamma_front(a, x);
}

// Acklam's approximation of the normal quantile, relative error 1.2e-9.
double rough_normal_quantile(double p) {
  constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                          1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                          6.680131188771972e+01, -1.328068155288572e+01};
  constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                          -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                          3.754408661907416e+00};
  constexpr double kTail = 0.02425;
  if (p > 1 - kTail) return -rough_normal_quantile(1 - p);
  if (p < kTail) {
    const double q = std::sqrt(-2 * std::log(p));
    return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
           ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
  }
  const double q = p - 0.5, r = q * q;
  return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
         (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

}  // namespace

double normal_probability(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

double normal_quantile(double probability) {
  if (!(probability > 0) || !(probability < 1)) return kNan;
  const double z = rough_normal_quantile(probability);
  const double e =
      (normal_probability(z) - probability) * std::sqrt(2 * std::numbers::pi) * std::exp(z * z / 2);
  return z - e / (1 + z * e / 2);
}

double chi_squared_tail(double x, double freedom) {
  if (!(freedom > 0) || std::isnan(x)) return kNan;
  if (x <= 0) return 1;
  if (std::isinf(x)) return 0;
  const double a = freedom / 2, y = x / 2;
  return y < a + 1 ? 1 - gamma_series(a, y) : gamma_fraction(a, y);
}

double f_tail(double f, double between, double within) {
  if (!(between > 0) || !(within > 0) || std::isnan(f)) return kNan;
  if (f <= 0) return 1;
  if (std::isinf(f)) return 0;
  return incomplete_beta(within / 2, between / 2, within / (within + between * f));
}

double kolmogorov_tail(double x) {
  if (std::isnan(x)) return kNan;
  if (x <= 0) return 1;
  constexpr double kPi = std::numbers::pi;
  if (x < 1.18) {  // the form that converges quickly for small x
    double sum = 0;
    for (int k = 1; k <= 7; k += 2) sum += std::exp(-k * k * kPi * kPi / (8 * x * x));
    return 1 - std::sqrt(2 * kPi) / x * sum;
  }
  double sum = 0;
  for (int k = 1; k <= 20; ++k) sum += (k % 2 ? 1 : -1) * std::exp(-2.0 * k * k * x * x);
  return 2 * sum;
}

}  // namespace expunge::stat
