// Compiled without contraction (CMakeLists.txt), divisions and roots rounded as IEEE 754 says: the bits of
// the host's loops.
#include "cuda/optimizer.hpp"

#include "tensor/device_kernels.hpp"
#include "tensor/kernels.hpp"

namespace expunge::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMostBlocks = 8192;
constexpr int kLanes = 16;  // of a block's sum, as on the host

unsigned blocks_for(std::int64_t work) {
  const std::int64_t blocks = (work + kThreads - 1) / kThreads;
  return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

// Every element once, with the step that its byte of `decays` asks for.
template <class Step, class Element>
__global__ void each(std::int64_t n, const std::uint8_t* decays, Step decaying, Step plain, Element element) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride)
    element(i, decays[i / tensor::kElementsOfByte] ? decaying : plain);
}

struct AdamElement {
  float *p, *m, *v;
  const float* g;
  __device__ void operator()(std::int64_t i, const tensor::AdamStep& s) const {
    tensor::adam_element(p[i], g[i], m[i], v[i], s);
  }
};
struct SgdElement {
  float *p, *buffer;
  const float* g;
  __device__ void operator()(std::int64_t i, const tensor::SgdStep& s) const {
    if (buffer)
      tensor::sgd_element(p[i], g[i], buffer[i], s);
    else
      tensor::sgd_element(p[i], g[i], s);
  }
};
struct SophiaElement {
  float *p, *m, *h;
  const float* g;
  __device__ void operator()(std::int64_t i, const tensor::SophiaStep& s) const {
    tensor::sophia_element(p[i], g[i], m[i], h[i], s);
  }
};

template <class Step, class Element>
cudaError_t launch(std::int64_t n, const std::uint8_t* decays, const Step& decaying, const Step& plain,
                   const Element& element, cudaStream_t stream) {
  if (n > 0) each<<<blocks_for(n), kThreads, 0, stream>>>(n, decays, decaying, plain, element);
  return cudaGetLastError();
}

// One summation block a thread block, its lanes in order, as block_sum_of_squares of tensor/kernels.cpp.
__global__ void squares_kernel(const float* x, std::int64_t n, double* squares) {
  __shared__ double lanes[kLanes];
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * tensor::kBlock;
  const std::int64_t last = first + tensor::kBlock < n ? first + tensor::kBlock : n;
  double lane = 0;
  for (std::int64_t i = first + threadIdx.x; i < last; i += kLanes) {
    const double value = static_cast<double>(x[i]);
    lane = __dadd_rn(lane, __dmul_rn(value, value));
  }
  lanes[threadIdx.x] = lane;
  __syncthreads();
  if (threadIdx.x != 0) return;
  double sum = 0;
  for (const double l : lanes) sum = __dadd_rn(sum, l);
  squares[blockIdx.x] = sum;
}

}  // namespace

cudaError_t adam(float* p, const float* g, float* m, float* v, std::int64_t n, const std::uint8_t* decays,
                 const tensor::AdamStep& decaying, const tensor::AdamStep& plain, cudaStream_t stream) {
  return launch(n, decays, decaying, plain, AdamElement{p, m, v, g}, stream);
}

cudaError_t sgd(float* p, const float* g, float* buffer, std::int64_t n, const std::uint8_t* decays,
                const tensor::SgdStep& decaying, const tensor::SgdStep& plain, cudaStream_t stream) {
  return launch(n, decays, decaying, plain, SgdElement{p, buffer, g}, stream);
}

cudaError_t sophia(float* p, const float* g, float* m, float* h, std::int64_t n, const std::uint8_t* decays,
                   const tensor::SophiaStep& decaying, const tensor::SophiaStep& plain, cudaStream_t stream) {
  return launch(n, decays, decaying, plain, SophiaElement{p, m, h, g}, stream);
}

cudaError_t squares_of_blocks(const float* x, std::int64_t n, double* squares, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((n + tensor::kBlock - 1) / tensor::kBlock);
  if (blocks > 0) squares_kernel<<<blocks, kLanes, 0, stream>>>(x, n, squares);
  return cudaGetLastError();
}

}  // namespace expunge::cuda
