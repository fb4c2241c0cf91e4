// Loops over flat host buffers. Each reads and writes every byte once; sums are taken in a fixed order, so
// they do not depend on threads, ranks or slices.
#pragma once

#include <cstdint>

#include "tensor/optimizer_formulas.hpp"

namespace expunge::tensor {

inline constexpr std::int64_t kBlock = 1 << 16;  // floats of a summation block

// Sum of squares of x[0..n): blocks of kBlock in order, 16 lanes inside a block, in double.
double sum_of_squares(const float* x, std::int64_t n);

// Steps over p[0..n), formulas of tensor/optimizer_formulas.hpp.
void adam_step(float* p, const float* g, float* m, float* v, std::int64_t n, const AdamStep& s);
void sgd_step(float* p, const float* g, float* buffer, std::int64_t n,
              const SgdStep& s);  // buffer may be null when momentum == 0
void sophia_step(float* p, const float* g, float* m, float* h, std::int64_t n, const SophiaStep& s);

}  // namespace expunge::tensor
