// The one kernel of this plugin. No LibTorch here: nvcc compiles it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace expunge::cuda {

// into[i] += from[i], queued on `stream`. Each element is one rounded addition, as on the host.
cudaError_t add_floats(float* into, const float* from, std::int64_t count, cudaStream_t stream);

}  // namespace expunge::cuda
