// The mask of ERM-KTP: which channels which classes use, M [channels, classes] in [0, 1].
#pragma once

#include "tensor/torch.hpp"

namespace expunge::tasks {

// relu(||M||_1 - 0.1 channels classes) + 0.1 * sum over pairs of classes a < b of m_a . m_b (Lin et al.
// 2023): few channels for each class, few classes for each channel. A scalar.
inline torch::Tensor entanglement(const torch::Tensor& mask) {
  const torch::Tensor few = at::relu(mask.abs().sum() - 0.1 * static_cast<double>(mask.numel()));
  const torch::Tensor products = at::mm(mask.t(), mask);
  return few + 0.1 * (products.sum() - products.diagonal().sum()) / 2;
}

// Every row (channel) divided by its maximum where that is positive, then clamped to [0, 1]; in place.
inline void clip_mask(torch::Tensor mask) {
  const torch::Tensor most = mask.amax(1, true);
  mask.div_(torch::where(most > 0, most, torch::ones_like(most))).clamp_(0, 1);
}

// [channels], 1 where no class of `classes` uses the channel (M <= threshold).
inline torch::Tensor kept_channels(const torch::Tensor& mask, const torch::Tensor& classes,
                                   double threshold) {
  if (classes.numel() == 0) return torch::ones({mask.size(0)}, mask.options());
  return (mask.index_select(1, classes).amax(1) <= threshold).to(mask.dtype());
}

}  // namespace expunge::tasks
