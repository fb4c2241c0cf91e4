#include "tensor/fusion.hpp"

#include "core/error.hpp"

namespace expunge::tensor {

torch::Tensor fuse(const std::vector<torch::Tensor>& grams, const std::vector<torch::Tensor>& weights,
                   double ridge) {
  EXPUNGE_CHECK(!weights.empty() && grams.size() == weights.size(), "{} Gram matrices for {} maps",
                grams.size(), weights.size());
  if (weights.size() == 1) return weights[0];
  const torch::Tensor eye = torch::eye(weights[0].size(0), torch::kDouble);
  torch::Tensor left = torch::zeros_like(eye),
                right = torch::zeros({weights[0].size(0), weights[0].size(1)}, torch::kDouble);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    constexpr double kOfNoInputs = 1e-6;  // versions that no input was counted for are averaged
    const torch::Tensor g = grams[i].to(torch::kCPU, torch::kDouble);
    const torch::Tensor h = g + (ridge * g.diagonal().mean() + kOfNoInputs) * eye;
    left += h;
    right += h.mm(weights[i].to(torch::kCPU, torch::kDouble));
  }
  return at::linalg_solve(left, right).to(weights[0].device(), torch::kFloat);
}

}  // namespace expunge::tensor
