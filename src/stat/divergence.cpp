#include "stat/divergence.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/numbers.hpp"

namespace expunge::stat {
namespace {

double in_base(double nats, Base base) { return base == Base::kTwo ? nats / std::numbers::ln2 : nats; }

// ln((e^a + e^b) / 2), exactly a for a = b.
double log_mean(double a, double b) {
  const double high = std::max(a, b), low = std::min(a, b);
  if (high == -kInfinity) return high;
  return high + std::log1p(0.5 * std::expm1(low - high));
}

// p ln(p / q), 0 for p = 0.
double term(double log_p, double log_q) {
  return log_p == -kInfinity ? 0 : std::exp(log_p) * (log_p - log_q);
}

}  // namespace

void log_softmax(std::span<const float> logits, std::span<double> out) {
  double largest = -kInfinity;
  for (const float z : logits) largest = std::max(largest, static_cast<double>(z));
  double sum = 0;
  for (const float z : logits) sum += std::exp(z - largest);
  const double log_sum = std::log(sum);
  for (std::size_t k = 0; k < logits.size(); ++k) out[k] = (logits[k] - largest) - log_sum;
}

std::vector<double> log_softmax(std::span<const float> logits) {
  std::vector<double> out(logits.size());
  log_softmax(logits, out);
  return out;
}

double kl(std::span<const double> log_p, std::span<const double> log_q, Base base) {
  double sum = 0;
  for (std::size_t k = 0; k < log_p.size(); ++k) sum += term(log_p[k], log_q[k]);
  return in_base(sum, base);
}

double js(std::span<const double> log_p, std::span<const double> log_q, Base base) {
  double sum = 0;
  for (std::size_t k = 0; k < log_p.size(); ++k) {
    const double log_m = log_mean(log_p[k], log_q[k]);
    // The pair is added first, which keeps JS(p, q) and JS(q, p) equal to the bit.
    sum += term(log_p[k], log_m) + term(log_q[k], log_m);
  }
  // Rounding may leave a nearly equal pair a hair below zero; max keeps a NaN.
  return in_base(std::max(0.5 * sum, 0.0), base);
}

double entropy(std::span<const double> log_p) {
  double sum = 0;
  for (const double l : log_p)
    if (l != -kInfinity) sum -= std::exp(l) * l;
  return sum;
}

}  // namespace expunge::stat
