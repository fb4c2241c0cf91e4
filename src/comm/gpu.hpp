// The GPU side of this layer, torch-free and CUDA-free: a table of functions that the CUDA plugin
// (libexpunge_cuda.so) fills in. It is opened at run time, only where a driver answers, so the same binary
// runs with and without GPUs.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "comm/communicator.hpp"
#include "comm/ordered_sum.hpp"

namespace expunge::comm {

struct GpuDevice {
  int index = 0;
  std::string name;  // "NVIDIA H100 80GB HBM3"
  std::string
      uuid;  // "GPU-1b4e28ba-2fa1-11d2-883f-0016d3cca427": the same for every process that sees the device
  int capability = 0;  // 90 for compute capability 9.0
  std::size_t free_bytes = 0, total_bytes = 0;
};

// Of this header and of Communicator: the plugin refuses a table of another layout.
inline constexpr int kGpuPluginVersion = 3;

// Functions raise CommError when CUDA or NCCL fails. `current` means: of the calling thread.
struct GpuPlugin {
  int version;
  std::string nccl_version;  // "2.28.9"
  int (*device_count)();     // at least 1
  GpuDevice (*device)(int index);
  void (*use_device)(int index);  // makes it current; call once, before anything else on the GPU
  int (*current_device)();
  void* (*current_stream)();          // LibTorch's current stream of the current device, a raw cudaStream_t
  void (*synchronize)(void* stream);  // waits until the stream has done its work
  Arithmetic (*arithmetic)();         // device memory; works on the stream that is current now
  Beside (*beside)();                 // beside the stream that is current now, on a new one
  // A table of functions of another layer, known by name (tensor/device_kernels.hpp); null for other names.
  const void* (*table)(const char* name);
  // Collective over `host`. One rank a GPU; control messages travel over a duplicate of `host`.
  std::unique_ptr<Communicator> (*make_nccl)(Communicator& host);
  // Collective over `host`. Ranks may share a GPU.
  std::unique_ptr<Communicator> (*make_staged)(Communicator& host);
};

// The plugin, or null where there is no usable GPU; `reason` then says why ("no NVIDIA driver", ...). Never
// fails. Opens the plugin once: later calls return the same.
const GpuPlugin* open_gpu_plugin(std::string* reason = nullptr);

// Collective over `host`. The transport for the memory that tensors live in:
//   "auto"    one rank: self; without GPU: mpi; one GPU a rank: nccl; ranks that share a GPU: staged
//   "mpi"     host memory, whatever GPUs there are
//   "nccl", "staged"   that one, or ConfigError (on every rank) when it cannot work here
// `gpu` may be null; it must be so on all ranks or on none (CommError otherwise). GPUs are compared by the
// devices that are current (use_device). The result is independent of `host`, which need not outlive it.
std::unique_ptr<Communicator> make_transport(Communicator& host, const std::string& wish,
                                             const GpuPlugin* gpu);

}  // namespace expunge::comm
