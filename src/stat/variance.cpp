#include "stat/variance.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/numbers.hpp"
#include "stat/intervals.hpp"

namespace expunge::stat {
namespace {

struct Sums {
  double count = 0, total = 0;
  void add(double v) {
    ++count;
    total += v;
  }
  double mean() const { return total / count; }
};

}  // namespace

double VarianceComponents::share(double component) const {
  double sum = 0;
  for (const double v : {training, unlearning, evaluation})
    if (!std::isnan(v)) sum += std::max(0.0, v);
  return std::isnan(component) || !(sum > 0) ? kNan : std::max(0.0, component) / sum;
}

VarianceComponents variance_components(std::span<const Nested> observations) {
  Sums all;
  std::map<std::int64_t, Sums> training;
  std::map<std::int64_t, std::map<std::int64_t, Sums>> unlearning;
  for (const auto& o : observations) {
    all.add(o.value);
    training[o.training].add(o.value);
    unlearning[o.training][o.unlearning].add(o.value);
  }
  VarianceComponents out{kNan, kNan, kNan};
  out.trainings = static_cast<std::int64_t>(training.size());
  out.observations = static_cast<std::int64_t>(observations.size());
  double between = 0, within = 0, residual = 0;  // sums of squares of the three levels
  double inner = 0, top = 0;                     // sums of n_ij^2 / n_i and n_i^2
  double inner_over_all = 0;                     // sum of n_ij^2
  for (const auto& [t, sums] : training) {
    between += sums.count * (sums.mean() - all.mean()) * (sums.mean() - all.mean());
    top += sums.count * sums.count;
    for (const auto& [u, cell] : unlearning[t]) {
      ++out.unlearnings;
      within += cell.count * (cell.mean() - sums.mean()) * (cell.mean() - sums.mean());
      inner += cell.count * cell.count / sums.count;
      inner_over_all += cell.count * cell.count;
    }
  }
  for (const auto& o : observations) {
    const double d = o.value - unlearning[o.training][o.unlearning].mean();
    residual += d * d;
  }
  const double n = all.count, a = static_cast<double>(out.trainings),
               b = static_cast<double>(out.unlearnings);
  if (n > b) out.evaluation = residual / (n - b);
  const double noise = std::isnan(out.evaluation) ? 0 : out.evaluation;
  if (b > a) out.unlearning = (within - (b - a) * noise) / (n - inner);
  const double middle = std::isnan(out.unlearning) ? 0 : out.unlearning;
  if (a > 1)
    out.training = (between - (a - 1) * noise - (inner - inner_over_all / n) * middle) / (n - top / n);
  return out;
}

std::int64_t seeds_for_gap(double deviation, double gap, double level, std::int64_t most) {
  if (!(deviation > 0) || !(gap > 0) || !std::isfinite(deviation) || !std::isfinite(gap)) return 0;
  const auto half = [&](std::int64_t n) {
    return student_t_quantile((1 + level) / 2, static_cast<double>(n - 1)) * deviation /
           std::sqrt(static_cast<double>(n));
  };
  std::int64_t low = 1, high = 2;
  while (high < most && half(high) > gap) {
    low = high;
    high *= 2;
  }
  if (high >= most) return most;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (half(middle) > gap ? low : high) = middle;
  }
  return high;
}

}  // namespace expunge::stat
