// Optimisers' steps and sums of squares on flat buffers. No LibTorch here: nvcc compiles it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "tensor/optimizer_formulas.hpp"

namespace expunge::cuda {

// As tensor/device_kernels.hpp says, queued on `stream`.
cudaError_t adam(float* p, const float* g, float* m, float* v, std::int64_t n, const std::uint8_t* decays,
                 const tensor::AdamStep& decaying, const tensor::AdamStep& plain, cudaStream_t stream);
cudaError_t sgd(float* p, const float* g, float* buffer, std::int64_t n, const std::uint8_t* decays,
                const tensor::SgdStep& decaying, const tensor::SgdStep& plain, cudaStream_t stream);
cudaError_t sophia(float* p, const float* g, float* m, float* h, std::int64_t n, const std::uint8_t* decays,
                   const tensor::SophiaStep& decaying, const tensor::SophiaStep& plain, cudaStream_t stream);
cudaError_t squares_of_blocks(const float* x, std::int64_t n, double* squares, cudaStream_t stream);

}  // namespace expunge::cuda
