// Convolution of small maps on a processor. Where a network's maps have shrunk to a few positions, a layer's
// weights outweigh its images: libraries that bring weights into an order of their own, for each pass, then
// do little else. Here the weights are used as they lie, [O, C * k * k], in one product of matrices for the
// outputs and two for the gradients (Chellapilla et al. 2006, "unrolling"), and parts of a kernel that meet
// nothing but padding are left out.
#pragma once

#include "tensor/torch.hpp"

namespace expunge::models {

// True where the product is the faster form: float on a processor without autocast, maps of few positions.
// A function of shapes alone, never of values or ranks.
bool suits_matrix_convolution(const torch::Tensor& x, const torch::Tensor& weight, std::int64_t stride,
                              std::int64_t padding);

// conv2d(x [n, C, H, W], weight [O, C, k, k]) without a bias, dilation 1, one group: [n, O, H', W'], channels
// innermost. Differentiable once. The weight's gradient goes straight into an open GradientSink.
torch::Tensor matrix_convolution(const torch::Tensor& x, const torch::Tensor& weight, std::int64_t stride,
                                 std::int64_t padding);

}  // namespace expunge::models
