#include "engine/device_source.hpp"

namespace expunge {

torch::Tensor to_device(const torch::Tensor& host, torch::Device device) {
  if (device.is_cpu() || !host.device().is_cpu()) return host;
  return host.pin_memory().to(device, host.scalar_type(), /*non_blocking=*/true);
}

void DeviceSource::load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const {
  host_->load(ids, pass, into);
  for (auto& [name, value] : into.inputs) value = to_device(value, device_);
  into.labels = to_device(into.labels, device_);
}

std::unique_ptr<SampleSource> on_device(std::unique_ptr<SampleSource> host, torch::Device device) {
  if (device.is_cpu()) return host;
  return std::make_unique<DeviceSource>(std::move(host), device);
}

}  // namespace expunge
