// Host memory that is taken when it is written.
#pragma once

#include <cstdint>

#include "tensor/torch.hpp"

namespace expunge::tensor {

// Zeros [n], float. On the host a large tensor takes memory only for the pages that are written, and only
// until they are released.
torch::Tensor untouched_zeros(std::int64_t n, torch::Device device);

// Gives back the memory of a tensor of untouched_zeros outside of elements [first, last), which read as zero
// again (those that share a page with the slice keep their values). Nothing on devices.
void release_outside(const torch::Tensor& zeros, std::int64_t first, std::int64_t last);

}  // namespace expunge::tensor
