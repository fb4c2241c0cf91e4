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
  const float blend1 = 1.0f - s.beta1, blend2 = 1.0f - s.beta2;
  for (std::int64_t i = 0; i < n; ++i) {
    float x = p[i] * s.keep;
    const float grad = g[i] * s.gradient_scale + s.coupled_decay * x;
    const float first = std::fma(blend1, grad - m[i], m[i]);  // as torch's lerp rounds
    const float second = v[i] * s.beta2 + blend2 * grad * grad;
    x -= s.step_size * first / (std::sqrt(second) / s.correction2_sqrt + s.eps);
    m[i] = first;
    v[i] = second;
    p[i] = x;
  }
}

EXPUNGE_WIDE void sophia_step(float* __restrict p, const float* __restrict g, float* __restrict m,
                              float* __restrict h, std::int64_t n, const SophiaStep& step) {
  const SophiaStep s = step;
  const float blend1 = 1.0f - s.beta1, blend2 = 1.0f - s.beta2;
  for (std::int64_t i = 0; i < n; ++i) {
    const float grad = g[i] * s.gradient_scale;
    const float curvature = s.beta2 * h[i] + blend2 * grad * grad;
    float first = s.beta1 * m[i] + blend1 * grad;
    if (s.double_ema) first = s.beta1 * first + blend1 * grad;
    const float ratio = std::min(1.0f, std::fabs(first) / (s.bound * curvature + 1e-15f));
    m[i] = first;
    h[i] = curvature;
    p[i] = p[i] * s.keep - s.lr * std::copysign(ratio, first);
  }
}

EXPUNGE_WIDE void sgd_step(float* __restrict p, const float* __restrict g, float* __restrict buffer,
                           std::int64_t n, const SgdStep& step) {
  const SgdStep s = step;
  if (!buffer) {
    for (std::int64_t i = 0; i < n; ++i) p[i] -= s.lr * (g[i] * s.gradient_scale + s.decay * p[i]);
    return;
  }
  const float keep = s.first ? 0.0f : s.momentum;
  for (std::int64_t i = 0; i < n; ++i) {
    const float grad = g[i] * s.gradient_scale + s.decay * p[i];
    const float velocity = keep * buffer[i] + grad;
    buffer[i] = velocity;
    p[i] -= s.lr * velocity;
  }
}

}  // namespace expunge::tensor
