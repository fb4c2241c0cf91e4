// Loops over flat host buffers. Each reads and writes every byte once; sums are taken in a fixed order, so
// they do not depend on threads, ranks or slices.
#pragma once

#include <cstdint>

namespace expunge::tensor {

inline constexpr std::int64_t kBlock = 1 << 16;  // floats of a summation block

// Sum of squares of x[0..n): blocks of kBlock in order, 16 lanes inside a block, in double.
double sum_of_squares(const float* x, std::int64_t n);

struct AdamStep {
  float keep;           // 1 - lr * decay (AdamW); 1 for Adam
  float coupled_decay;  // added to the gradient (Adam); 0 for AdamW
  float beta1, beta2, eps;
  float step_size;         // lr / (1 - beta1^t), rounded once
  float correction2_sqrt;  // sqrt(1 - beta2^t)
  float gradient_scale;    // clipping
};
// One AdamW or Adam step (Loshchilov & Hutter 2019; Kingma & Ba 2015) in the order of operations of
// torch.optim.
void adam_step(float* p, const float* g, float* m, float* v, std::int64_t n, const AdamStep& s);

struct SgdStep {
  float lr, decay, momentum, gradient_scale;
  bool first;  // momentum buffers start as the gradient
};
void sgd_step(float* p, const float* g, float* buffer, std::int64_t n,
              const SgdStep& s);  // buffer may be null when momentum == 0

struct SophiaStep {
  float keep;  // 1 - lr * decay
  float beta1, beta2, lr;
  float bound;  // rho * sophia_bs: the step is clipped where |m| exceeds bound * h
  float gradient_scale;
  bool double_ema;  // m is updated twice a step, as SOUL's and MU-Bench's code does
};
// One Sophia step (Liu et al. 2024) with the squared gradient as the diagonal of the Hessian, as SOUL uses it
// (Jia et al. 2024): h <- beta2 h + (1 - beta2) g^2, m <- beta1 m + (1 - beta1) g, p <- keep p - lr sign(m)
// min(1, |m| / (bound h + 1e-15)).
void sophia_step(float* p, const float* g, float* m, float* h, std::int64_t n, const SophiaStep& s);

}  // namespace expunge::tensor
