// Selection of weights by score over a whole flat buffer.
#pragma once

#include "tensor/flat_parameters.hpp"

namespace expunge::tensor {

// Mask [layout.size()], float on the scores' device: 1 for the `count` entries of largest |score|, ranked
// over all tensors together, 0 elsewhere and in the padding. Ties go to the smaller flat index; NaN ranks
// first. `scores`: [layout.size()], float; 0 <= count <= layout.numel().
torch::Tensor largest(const FlatBuffer& layout, const torch::Tensor& scores, std::int64_t count);

}  // namespace expunge::tensor
