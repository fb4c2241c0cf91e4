#include "engine/device.hpp"

#include <ATen/Context.h>

#include <cstdlib>

#include "core/error.hpp"
#include "tensor/device_kernels.hpp"

namespace expunge {

Device choose_device(comm::Runtime& runtime, const std::string& wish) {
  if (wish == "cpu") return {};
  if (wish != "auto" && wish != "cuda")
    throw AgreedError(kExitUsage, fmt::format("--device: unknown \"{}\"; (have: auto, cpu, cuda)", wish));
  // Without it cuBLAS may add in another order from call to call. Read when the library starts.
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);
  std::string reason;
  Device device;
  device.gpu = comm::open_gpu_plugin(&reason);
  if (!device.gpu) {
    if (wish == "cuda") throw DataError::missing(fmt::format("--device cuda: {}", reason));
    return {};
  }
  const int index = runtime.local_rank() % device.gpu->device_count();
  device.gpu->use_device(index);
  device.where = torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(index));
  return device;
}

void use_precision(const std::string& precision, torch::Device device) {
  const bool rounds = precision == "tf32";
  if (device.is_cpu()) {
    if (rounds) throw ConfigError("precision \"tf32\" needs a GPU (--device cuda)");
    return;
  }
  // LibTorch's own default lets convolutions round.
  at::globalContext().setAllowTF32CuBLAS(rounds);
  at::globalContext().setAllowTF32CuDNN(rounds);
}

void suit(Context::Setup& setup, const Device& device, bool capture) {
  setup.device = device.where;
  if (!device.gpu) return;
  setup.arithmetic = device.gpu->arithmetic();
  setup.beside = device.gpu->beside();
  setup.overlap_sums = setup.comm->transport() == "nccl";
  setup.load_ahead = true;
  if (capture) setup.capture = tensor::device_kernels()->make_captured;
}

}  // namespace expunge
