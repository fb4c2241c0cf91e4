// Counts that a plan and a run must agree on. All in samples, functions of the job alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace expunge::methods {

// floor(fraction * n), forgiving the rounding of a decimal fraction (0.29 of 100 is 29).
inline std::int64_t share_of(double fraction, std::int64_t n) {
  return std::min(n, static_cast<std::int64_t>(std::floor(fraction * static_cast<double>(n) + 1e-6)));
}

// Samples that `steps` steps of one epoch take from a cycled source of n samples: each step takes what is
// left of the current pass, at most `batch`, and the step after an exhausted pass opens the next one.
inline std::int64_t cycled_samples(std::int64_t steps, std::int64_t n, std::int64_t batch) {
  if (n == 0) return 0;
  const std::int64_t steps_a_pass = (n + batch - 1) / batch;
  return steps / steps_a_pass * n + std::min(steps % steps_a_pass * batch, n);
}

}  // namespace expunge::methods
