#include "tensor/selection.hpp"

#include <algorithm>
#include <bit>
#include <functional>

#include "core/error.hpp"

namespace expunge::tensor {
namespace {

// The bits of |x| order like |x|, and totally.
std::uint32_t magnitude(float x) { return std::bit_cast<std::uint32_t>(x) & 0x7fffffffu; }

}  // namespace

torch::Tensor largest(const FlatBuffer& layout, const torch::Tensor& scores, std::int64_t count) {
  EXPUNGE_CHECK(scores.numel() == layout.size(), "{} scores for a buffer of {}", scores.numel(),
                layout.size());
  const torch::Tensor host = scores.to(torch::kCPU).contiguous();
  const float* x = host.data_ptr<float>();
  std::vector<std::uint32_t> keys;
  keys.reserve(static_cast<std::size_t>(layout.numel()));
  for (const auto& entry : layout.entries)
    for (std::int64_t i = entry.offset; i < entry.offset + entry.numel; ++i) keys.push_back(magnitude(x[i]));

  EXPUNGE_CHECK(count >= 0 && count <= layout.numel(), "{} of {} entries asked for", count, layout.numel());
  torch::Tensor mask = torch::zeros({layout.size()}, torch::kFloat);
  if (count == 0) return mask.to(scores.device());
  std::nth_element(keys.begin(), keys.begin() + (count - 1), keys.end(), std::greater<>());
  const std::uint32_t threshold = keys[static_cast<std::size_t>(count - 1)];
  const auto above = std::count_if(keys.begin(), keys.begin() + count, [&](auto k) { return k > threshold; });
  std::int64_t ties = count - above;
  float* m = mask.data_ptr<float>();
  for (const auto& entry : layout.entries)
    for (std::int64_t i = entry.offset; i < entry.offset + entry.numel; ++i) {
      const std::uint32_t key = magnitude(x[i]);
      if (key > threshold || (key == threshold && ties-- > 0)) m[i] = 1;
    }
  return mask.to(scores.device());
}

}  // namespace expunge::tensor
