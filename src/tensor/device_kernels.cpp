#include "tensor/device_kernels.hpp"

#include "comm/gpu.hpp"

namespace expunge::tensor {

const DeviceKernels* device_kernels() {
  const comm::GpuPlugin* gpu = comm::open_gpu_plugin();
  return gpu ? static_cast<const DeviceKernels*>(gpu->table(kDeviceKernels)) : nullptr;
}

}  // namespace expunge::tensor
