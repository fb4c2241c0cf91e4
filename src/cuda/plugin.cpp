// The plugin's table of functions, and the devices.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <algorithm>

#include "comm/gpu.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "cuda/add.hpp"
#include "cuda/cuda_check.hpp"
#include "cuda/device_communicator.hpp"
#include "cuda/stream.hpp"

namespace expunge::cuda {
namespace {

using comm::Arithmetic;
using comm::GpuDevice;
using comm::GpuPlugin;

int device_count() {
  int count = 0;
  check_cuda(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  return count;
}

std::string text_of(const cudaUUID_t& uuid) {
  std::string text = "GPU-";
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

int current_device() {
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

GpuDevice device(int index) {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  GpuDevice device;
  device.index = index;
  device.name = properties.name;
  device.uuid = text_of(properties.uuid);
  device.capability = 10 * properties.major + properties.minor;
  const int before = current_device();
  check_cuda(cudaSetDevice(index), "cudaSetDevice");
  check_cuda(cudaMemGetInfo(&device.free_bytes, &device.total_bytes), "cudaMemGetInfo");
  check_cuda(cudaSetDevice(before), "cudaSetDevice");
  return device;
}

void synchronize(void* stream) {
  check_cuda(cudaStreamSynchronize(static_cast<cudaStream_t>(stream)), "cudaStreamSynchronize");
}

Arithmetic arithmetic() {
  Arithmetic gpu;
  gpu.stream = torch_stream();
  const auto queue = static_cast<cudaStream_t>(gpu.stream);
  gpu.allocate = [](std::int64_t count) {
    void* memory = nullptr;
    check_cuda(
        cudaMalloc(&memory, static_cast<std::size_t>(std::max<std::int64_t>(count, 1)) * sizeof(float)),
        "cudaMalloc");
    return static_cast<float*>(memory);
  };
  gpu.release = [](float* memory) { cudaFree(memory); };
  gpu.add = [queue](float* into, const float* from, std::int64_t count) {
    if (count > 0) check_cuda(add_floats(into, from, count, queue), "add_floats");
  };
  gpu.copy = [queue](float* into, const float* from, std::int64_t count) {
    if (count > 0)
      check_cuda(cudaMemcpyAsync(into, from, static_cast<std::size_t>(count) * sizeof(float),
                                 cudaMemcpyDefault, queue),
                 "cudaMemcpyAsync");
  };
  gpu.zero = [queue](float* into, std::int64_t count) {
    if (count > 0)
      check_cuda(cudaMemsetAsync(into, 0, static_cast<std::size_t>(count) * sizeof(float), queue),
                 "cudaMemsetAsync");
  };
  return gpu;
}

std::string version_text(int version) {  // 22809 is 2.28.9
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

const GpuPlugin* open(int version, std::string* reason) {
  if (version != comm::kGpuPluginVersion) {
    *reason = fmt::format("the GPU plugin is of another build (version {}, wanted {})",
                          comm::kGpuPluginVersion, version);
    return nullptr;
  }
  int count = 0;
  // Ask the error code: without a driver the count is not written.
  if (const auto result = cudaGetDeviceCount(&count); result != cudaSuccess || count < 1) {
    *reason = result == cudaSuccess ? "no GPU is visible"
                                    : fmt::format("no usable GPU: {}", cudaGetErrorString(result));
    return nullptr;
  }
  int nccl = 0;
  check_nccl(ncclGetVersion(&nccl), "ncclGetVersion");
  if (nccl / 10000 != NCCL_VERSION_CODE / 10000)
    throw CommError(fmt::format("NCCL {} is installed, built with {}", version_text(nccl),
                                version_text(NCCL_VERSION_CODE)));
  if (nccl != NCCL_VERSION_CODE)
    log::info("NCCL {} is loaded, built with {}", version_text(nccl), version_text(NCCL_VERSION_CODE));
  static const GpuPlugin table{comm::kGpuPluginVersion,
                               version_text(nccl),
                               device_count,
                               device,
                               torch_use_device,
                               current_device,
                               torch_stream,
                               synchronize,
                               arithmetic,
                               make_nccl,
                               make_staged};
  return &table;
}

}  // namespace
}  // namespace expunge::cuda

// The entry that comm/gpu.cpp looks up.
extern "C" const expunge::comm::GpuPlugin* expunge_gpu_plugin(int version, std::string* reason) {
  return expunge::cuda::open(version, reason);
}
