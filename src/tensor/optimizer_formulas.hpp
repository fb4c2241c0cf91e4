// One element of an optimiser's step, for loops over host memory (tensor/kernels.cpp) and for kernels of a
// GPU (src/cuda): the same operations in the same order, none of them contracted, so the same bits.
#pragma once

#include <cmath>

#if defined(__CUDACC__)
#define EXPUNGE_ELEMENT __host__ __device__ __forceinline__
#else
#define EXPUNGE_ELEMENT inline __attribute__((always_inline))
#endif

namespace expunge::tensor {

struct AdamStep {
  float keep;           // 1 - lr * decay (AdamW); 1 for Adam
  float coupled_decay;  // added to the gradient (Adam); 0 for AdamW
  float beta1, beta2, eps;
  float step_size;         // lr / (1 - beta1^t), rounded once
  float correction2_sqrt;  // sqrt(1 - beta2^t)
  float gradient_scale;    // clipping
};

struct SgdStep {
  float lr, decay, momentum, gradient_scale;
  bool first;  // momentum buffers start as the gradient
};

struct SophiaStep {
  float keep;  // 1 - lr * decay
  float beta1, beta2, lr;
  float bound;  // rho * sophia_bs: the step is clipped where |m| exceeds bound * h
  float gradient_scale;
  bool double_ema;  // m is updated twice a step, as SOUL's and MU-Bench's code does
};

// AdamW or Adam (Loshchilov & Hutter 2019; Kingma & Ba 2015) in the order of operations of torch.optim.
EXPUNGE_ELEMENT void adam_element(float& p, float g, float& m, float& v, const AdamStep& s) {
  float x = p * s.keep;
  const float grad = g * s.gradient_scale + s.coupled_decay * x;
  const float first = std::fma(1.0f - s.beta1, grad - m, m);  // as torch's lerp rounds
  const float second = v * s.beta2 + (1.0f - s.beta2) * grad * grad;
  x -= s.step_size * first / (std::sqrt(second) / s.correction2_sqrt + s.eps);
  m = first;
  v = second;
  p = x;
}

EXPUNGE_ELEMENT void sgd_element(float& p, float g, const SgdStep& s) {
  p -= s.lr * (g * s.gradient_scale + s.decay * p);
}

EXPUNGE_ELEMENT void sgd_element(float& p, float g, float& buffer, const SgdStep& s) {
  const float grad = g * s.gradient_scale + s.decay * p;
  const float velocity = (s.first ? 0.0f : s.momentum) * buffer + grad;
  buffer = velocity;
  p -= s.lr * velocity;
}

// Sophia (Liu et al. 2024) with the squared gradient as the diagonal of the Hessian, as SOUL uses it (Jia et
// al. 2024): h <- beta2 h + (1 - beta2) g^2, m <- beta1 m + (1 - beta1) g, p <- keep p - lr sign(m)
// min(1, |m| / (bound h + 1e-15)).
EXPUNGE_ELEMENT void sophia_element(float& p, float g, float& m, float& h, const SophiaStep& s) {
  const float blend1 = 1.0f - s.beta1, blend2 = 1.0f - s.beta2;
  const float grad = g * s.gradient_scale;
  const float curvature = s.beta2 * h + blend2 * grad * grad;
  float first = s.beta1 * m + blend1 * grad;
  if (s.double_ema) first = s.beta1 * first + blend1 * grad;
  const float ratio = std::fabs(first) / (s.bound * curvature + 1e-15f);
  m = first;
  h = curvature;
  p = p * s.keep - s.lr * std::copysign(ratio < 1.0f ? ratio : 1.0f, first);
}

}  // namespace expunge::tensor
