// The plugin's table of functions, and the devices.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "comm/gpu.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "cuda/add.hpp"
#include "cuda/cuda_check.hpp"
#include "cuda/device_communicator.hpp"
#include "cuda/graph.hpp"
#include "cuda/optimizer.hpp"
#include "cuda/stream.hpp"
#include "tensor/device_kernels.hpp"

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

// Works on this stream.
Arithmetic arithmetic_on(cudaStream_t queue) {
  Arithmetic gpu;
  gpu.stream = queue;
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

Arithmetic arithmetic() { return arithmetic_on(static_cast<cudaStream_t>(torch_stream())); }

// A stream, and events that order it with the callers' streams. Never given back: it lives as long as the
// sums that use it, which end with the process.
class Side {
 public:
  Side() {
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    for (cudaEvent_t* event : {&forked_, &joined_})
      check_cuda(cudaEventCreateWithFlags(event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
  cudaStream_t stream() const { return stream_; }
  void fork() const { order(static_cast<cudaStream_t>(torch_stream()), forked_, stream_); }
  void join() const { order(stream_, joined_, static_cast<cudaStream_t>(torch_stream())); }

 private:
  // What `after` is given from now on waits for what `before` has been given.
  static void order(cudaStream_t before, cudaEvent_t event, cudaStream_t after) {
    check_cuda(cudaEventRecord(event, before), "cudaEventRecord");
    check_cuda(cudaStreamWaitEvent(after, event, 0), "cudaStreamWaitEvent");
  }

  cudaStream_t stream_ = nullptr;
  cudaEvent_t forked_ = nullptr, joined_ = nullptr;
};

comm::Beside beside() {
  static const Side side;  // one is enough: sums of a process follow one another
  return {arithmetic_on(side.stream()), [] { side.fork(); }, [] { side.join(); }};
}

cudaStream_t current() { return static_cast<cudaStream_t>(torch_stream()); }

const void* table_of(const char* name) {
  static const tensor::DeviceKernels kernels{
      [](float* p, const float* g, float* m, float* v, std::int64_t n, const std::uint8_t* decays,
         const tensor::AdamStep& decaying, const tensor::AdamStep& plain) {
        check_cuda(adam(p, g, m, v, n, decays, decaying, plain, current()), "adam");
      },
      [](float* p, const float* g, float* buffer, std::int64_t n, const std::uint8_t* decays,
         const tensor::SgdStep& decaying, const tensor::SgdStep& plain) {
        check_cuda(sgd(p, g, buffer, n, decays, decaying, plain, current()), "sgd");
      },
      [](float* p, const float* g, float* m, float* h, std::int64_t n, const std::uint8_t* decays,
         const tensor::SophiaStep& decaying, const tensor::SophiaStep& plain) {
        check_cuda(sophia(p, g, m, h, n, decays, decaying, plain, current()), "sophia");
      },
      [](const float* x, std::int64_t n, double* squares) {
        check_cuda(squares_of_blocks(x, n, squares, current()), "squares_of_blocks");
      },
      make_graph};
  return std::string_view(name) == tensor::kDeviceKernels ? &kernels : nullptr;
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
                               beside,
                               table_of,
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
