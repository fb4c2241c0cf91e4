// Samples on their way from host memory to a GPU.
#pragma once

#include <memory>

#include "engine/sample_source.hpp"

namespace expunge {

// A host tensor on the device; on a processor the tensor itself. The copy goes through page-locked memory
// and is queued on the thread's current stream of the device: nobody waits for it.
torch::Tensor to_device(const torch::Tensor& host, torch::Device device);

// Reads through a source whose batches lie in host memory, and moves them to the device. Tensors that lie
// there already (a graph that all grains share) stay where they are.
class DeviceSource : public SampleSource {
 public:
  DeviceSource(std::unique_ptr<SampleSource> host, torch::Device device)
      : host_(std::move(host)), device_(device) {}
  void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const override;

 private:
  std::unique_ptr<SampleSource> host_;
  torch::Device device_;
};

// The source itself for a processor.
std::unique_ptr<SampleSource> on_device(std::unique_ptr<SampleSource> host, torch::Device device);

}  // namespace expunge
