#include "cuda/stream.hpp"

#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

namespace expunge::cuda {

void* torch_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

void torch_use_device(int device) { c10::cuda::set_device(static_cast<c10::DeviceIndex>(device)); }

}  // namespace expunge::cuda
