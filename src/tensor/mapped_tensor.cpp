#include "tensor/mapped_tensor.hpp"

#include <cstring>

namespace expunge::tensor {

torch::Tensor mapped_tensor(std::shared_ptr<const MappedFile> file, const std::uint8_t* data,
                            const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& stride,
                            torch::ScalarType type) {
  const auto options = torch::TensorOptions().dtype(type);
  std::int64_t elements = 1, reach = 1;  // reach: elements from the first to behind the last
  for (std::size_t d = 0; d < shape.size(); ++d) {
    elements *= shape[d];
    if (!stride.empty()) reach += (shape[d] - 1) * stride[d];
  }
  if (elements == 0) return at::empty(shape, options);
  if (stride.empty()) reach = elements;
  const auto size = static_cast<std::int64_t>(c10::elementSize(type));
  void* first = const_cast<std::uint8_t*>(data);
  if (reinterpret_cast<std::uintptr_t>(data) % static_cast<std::uintptr_t>(size) != 0) {
    torch::Tensor copy = at::empty({reach}, options);
    std::memcpy(copy.data_ptr(), first, static_cast<std::size_t>(reach * size));
    return stride.empty() ? copy.view(shape) : copy.as_strided(shape, stride).contiguous();
  }
  const auto keep = [file = std::move(file)](void*) {};
  if (stride.empty()) return at::from_blob(first, shape, keep, options);
  return at::from_blob(first, shape, stride, keep, options).contiguous();
}

}  // namespace expunge::tensor
