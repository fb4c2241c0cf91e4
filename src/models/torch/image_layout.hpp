// In which order a convolutional network holds its images.
#pragma once

#include <ATen/autocast_mode.h>

#include "models/torch/recorder.hpp"
#include "tensor/torch.hpp"

namespace expunge::models {

// The same values with channels innermost: on a processor convolutions and BatchNorm then read whole vectors
// of channels, and layers behind keep the order. An image of one channel looks the same in both orders, so it
// is copied to say which is meant. Results differ from the other order's in rounding. So it is on a GPU in
// bf16, whose units for products want channels innermost; in fp32 it keeps its order. So do recorded passes,
// whose per-sample gradients are grouped convolutions, which want whole planes.
inline torch::Tensor channels_innermost(const torch::Tensor& images_NCHW) {
  const auto device = images_NCHW.device();
  if (Recorder::active() || !(device.is_cpu() || at::autocast::is_autocast_enabled(device.type())))
    return images_NCHW;
  return images_NCHW.size(1) == 1 ? images_NCHW.clone(at::MemoryFormat::ChannelsLast)
                                  : images_NCHW.contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace expunge::models
