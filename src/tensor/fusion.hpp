// Several versions of one linear map as one: what EUL makes of the adapters of several deletions.
#pragma once

#include <vector>

#include "tensor/torch.hpp"

namespace expunge::tensor {

// W = (sum_i (G_i + ridge I))^-1 sum_i (G_i + ridge I) W_i, with G_i = X_i' X_i [in, in] of the inputs that
// version i was made for and W_i [in, out]: the least-squares map to all versions' outputs. Where no input
// ever pointed, the mean of the versions. Solved in double; float out. One version comes back as it is.
torch::Tensor fuse(const std::vector<torch::Tensor>& grams, const std::vector<torch::Tensor>& weights,
                   double ridge = 1e-6);

}  // namespace expunge::tensor
