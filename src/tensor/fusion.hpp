// Several versions of one linear map as one: what EUL makes of the adapters of several deletions.
#pragma once

#include <vector>

#include "tensor/torch.hpp"

namespace expunge::tensor {

// W = (sum_i H_i)^-1 sum_i H_i W_i, H_i = G_i + r_i I, with G_i = X_i' X_i [in, in] of the inputs that
// version i was made for and W_i [in, out]: the least-squares map to all versions' outputs. r_i is `ridge`
// times the mean of G_i's diagonal: well above the rounding of a Gram matrix kept in float, which would
// decide where few inputs pointed; there, W is a mean of the versions. Solved in double; float out. One
// version comes back as it is.
torch::Tensor fuse(const std::vector<torch::Tensor>& grams, const std::vector<torch::Tensor>& weights,
                   double ridge = 1e-3);

}  // namespace expunge::tensor
