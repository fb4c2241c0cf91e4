// What the GPU plugin (comm/gpu.hpp) does with flat buffers, and its recordings: a table that this layer
// knows and the transports do not. No LibTorch here: nvcc reads it.
#pragma once

#include <cstdint>
#include <memory>

#include "tensor/captured.hpp"
#include "tensor/optimizer_formulas.hpp"

namespace expunge::tensor {

// A byte of `decays` stands for so many elements, the alignment of parameters (tensor/flat_parameters.hpp).
inline constexpr std::int64_t kElementsOfByte = 16;

// Pointers are device memory; work is queued on LibTorch's current stream. Elements where their byte of
// `decays` is not 0 take the step `decaying`, the others `plain`. Functions raise CommError when CUDA fails.
struct DeviceKernels {
  void (*adam_step)(float* p, const float* g, float* m, float* v, std::int64_t n, const std::uint8_t* decays,
                    const AdamStep& decaying, const AdamStep& plain);
  void (*sgd_step)(float* p, const float* g, float* buffer, std::int64_t n, const std::uint8_t* decays,
                   const SgdStep& decaying, const SgdStep& plain);  // buffer may be null when momentum == 0
  void (*sophia_step)(float* p, const float* g, float* m, float* h, std::int64_t n,
                      const std::uint8_t* decays, const SophiaStep& decaying, const SophiaStep& plain);
  // squares[b] = the sum of squares of block b of x[0..n), kBlock elements each but the last, with the bits
  // of block_squares (tensor/optimizer.hpp).
  void (*block_squares)(const float* x, std::int64_t n, double* squares);
  std::unique_ptr<Captured> (*make_captured)();
};

// The name of this table; another layout has another one.
inline constexpr const char* kDeviceKernels = "tensor kernels 1";

// The plugin's, or null without a usable GPU.
const DeviceKernels* device_kernels();

}  // namespace expunge::tensor
