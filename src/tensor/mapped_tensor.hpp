// Tensors over the bytes of a mapped file.
#pragma once

#include <memory>
#include <vector>

#include "core/files.hpp"
#include "tensor/torch.hpp"

namespace expunge::tensor {

// The tensor whose first element lies at `data`, inside `file`, which it keeps mapped; empty `stride`:
// row-major. Contiguous. A copy where the address does not fit the type or the elements lie apart.
torch::Tensor mapped_tensor(std::shared_ptr<const MappedFile> file, const std::uint8_t* data,
                            const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& stride,
                            torch::ScalarType type);

}  // namespace expunge::tensor
