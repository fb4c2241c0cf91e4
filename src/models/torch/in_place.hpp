// Layers whose backward passes write the gradient of their table or matrix where it belongs: straight into an
// open GradientSink, instead of into a tensor of its own that is then copied. The values are those of the
// functions of the same name in ATen. Differentiable once.
#pragma once

#include "tensor/torch.hpp"

namespace expunge::models {

// True where the functions below serve: float on a processor, no autocast, nothing recorded.
bool writes_in_place(const torch::Tensor& weight);

// x [..., in] W^T + b; weight [out, in], bias [out] or undefined.
torch::Tensor linear_in_place(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias);

// Rows of weight [count, width] at ids [...] (int64): [..., width]. The row `padding` gets no gradient; -1:
// all rows do. A row's gradients are added in the order of its places.
torch::Tensor embedding_in_place(const torch::Tensor& weight, const torch::Tensor& ids, std::int64_t padding);

}  // namespace expunge::models
