#include "tensor/kernels.hpp"

#include <algorithm>
#include <cmath>

// The same bits on every x86 processor: contraction is off for the whole project, so the clones differ in
// width only.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define EXPUNGE_WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EXPUNGE_WIDE
#endif

namespace expunge::tensor {
namespace {

EXPUNGE_WIDE double block_sum_of_squares(const float* x, std::int64_t n) {
  constexpr int kLanes = 16;
  double lane[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) lane[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
  for (; i < n; ++i) lane[i % kLanes] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double sum = 0;
  for (double l : lane) sum += l;
  return sum;
}

}  // namespace

double sum_of_squares(const float* x, std::int64_t n) {
  double sum = 0;
  for (std::int64_t b = 0; b < n; b += kBlock) sum += block_sum_of_squares(x + b, std::min(kBlock, n - b));
  return sum;
}

EXPUNGE_WIDE void adam_step(float* __restrict p, const float* __restrict g, float* __restrict m,
                            float* __restrict v, std::int64_t n, const AdamStep& step) {
  const AdamStep s = step;
  for (std::int64_t i = 0; i < n; ++i) adam_element(p[i], g[i], m[i], v[i], s);
}

EXPUNGE_WIDE void sophia_step(float* __restrict p, const float* __restrict g, float* __restrict m,
                              float* __restrict h, std::int64_t n, const SophiaStep& step) {
  const SophiaStep s = step;
  for (std::int64_t i = 0; i < n; ++i) sophia_element(p[i], g[i], m[i], h[i], s);
}

EXPUNGE_WIDE void sgd_step(float* __restrict p, const float* __restrict g, float* __restrict buffer,
                           std::int64_t n, const SgdStep& step) {
  const SgdStep s = step;
  if (!buffer) {
    for (std::int64_t i = 0; i < n; ++i) sgd_element(p[i], g[i], s);
    return;
  }
  for (std::int64_t i = 0; i < n; ++i) sgd_element(p[i], g[i], buffer[i], s);
}

}  // namespace expunge::tensor
