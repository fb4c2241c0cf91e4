#include "models/torch/windows.hpp"

namespace expunge::models {

torch::Tensor relative_positions(std::int64_t w) {
  const torch::Tensor at = torch::arange(w * w, torch::kLong);
  const torch::Tensor row = at.div(w, "floor"), column = at.remainder(w);
  const auto apart = [&](const torch::Tensor& x) { return x.unsqueeze(1) - x.unsqueeze(0) + (w - 1); };
  return apart(row) * (2 * w - 1) + apart(column);
}

torch::Tensor into_windows(const torch::Tensor& x, std::int64_t w) {
  return x.view({x.size(0), x.size(1) / w, w, x.size(2) / w, w, x.size(3)})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({-1, w * w, x.size(3)});
}

torch::Tensor from_windows(const torch::Tensor& x, std::int64_t n, std::int64_t height, std::int64_t width,
                           std::int64_t w) {
  return x.view({n, height / w, width / w, w, w, -1})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({n, height, width, -1});
}

torch::Tensor shift_mask(std::int64_t height, std::int64_t width, std::int64_t w) {
  const auto region =
      [&](std::int64_t length) {  // 0, 1 and 2: before, in and behind the last window's border
        const torch::Tensor at = torch::arange(length, torch::kLong);
        return at.ge(length - w).to(torch::kLong) + at.ge(length - w / 2).to(torch::kLong);
      };
  const torch::Tensor regions = 3 * region(height).unsqueeze(1) + region(width).unsqueeze(0);
  const torch::Tensor labels = into_windows(regions.view({1, height, width, 1}), w).squeeze(-1);
  return labels.unsqueeze(1).ne(labels.unsqueeze(2)).to(torch::kFloat).mul_(-100).unsqueeze(1);
}

}  // namespace expunge::models
