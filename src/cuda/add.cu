#include "cuda/add.hpp"

namespace expunge::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMostBlocks = 4096;

__global__ void add_kernel(float* into, const float* from, std::int64_t count) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += stride)
    into[i] = __fadd_rn(into[i], from[i]);
}

__global__ void add4_kernel(float4* into, const float4* from, std::int64_t count) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += stride) {
    float4 a = into[i];
    const float4 b = from[i];
    a.x = __fadd_rn(a.x, b.x), a.y = __fadd_rn(a.y, b.y), a.z = __fadd_rn(a.z, b.z),
    a.w = __fadd_rn(a.w, b.w);
    into[i] = a;
  }
}

unsigned blocks_for(std::int64_t work) {
  const std::int64_t blocks = (work + kThreads - 1) / kThreads;
  return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % sizeof(float4) == 0; }

}  // namespace

cudaError_t add_floats(float* into, const float* from, std::int64_t count, cudaStream_t stream) {
  const std::int64_t quads = aligned(into) && aligned(from) ? count / 4 : 0;
  const std::int64_t rest = count - 4 * quads;
  if (quads > 0)
    add4_kernel<<<blocks_for(quads), kThreads, 0, stream>>>(reinterpret_cast<float4*>(into),
                                                            reinterpret_cast<const float4*>(from), quads);
  if (rest > 0)
    add_kernel<<<blocks_for(rest), kThreads, 0, stream>>>(into + 4 * quads, from + 4 * quads, rest);
  return cudaGetLastError();
}

}  // namespace expunge::cuda
