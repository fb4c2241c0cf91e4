#include "stat/aggregate.hpp"

#include "core/numbers.hpp"

namespace expunge::stat {

double harmonic_mean(std::span<const double> values) {
  if (values.empty()) return kNan;
  double sum = 0;
  bool zero = false;
  for (const double v : values) {
    if (!(v >= 0)) return kNan;
    zero |= v == 0;
    if (v > 0) sum += 1 / v;
  }
  return zero ? 0 : static_cast<double>(values.size()) / sum;
}

}  // namespace expunge::stat
