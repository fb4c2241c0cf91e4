// Windows of a map, as Swin attends inside them (Liu et al. 2021).
#pragma once

#include "tensor/torch.hpp"

namespace expunge::models {

// Row of the table of biases for each pair of a window's tokens: (row distance + w - 1) * (2 w - 1) + (column
// distance + w - 1); [w * w, w * w] int64.
torch::Tensor relative_positions(std::int64_t w);

// [n, H, W, C] cut into windows, [n * windows, w * w, C], and back. H and W are multiples of w.
torch::Tensor into_windows(const torch::Tensor& x, std::int64_t w);
torch::Tensor from_windows(const torch::Tensor& x, std::int64_t n, std::int64_t height, std::int64_t width,
                           std::int64_t w);

// What is added to the scores when a map of this size is shifted by half a window: -100 between tokens that
// only the shift brought together, 0 elsewhere; [windows, 1, w * w, w * w].
torch::Tensor shift_mask(std::int64_t height, std::int64_t width, std::int64_t w);

}  // namespace expunge::models
