#include "models/torch/attention.hpp"

#include <cmath>
#include <limits>
#include <optional>

#include "models/torch/blocks.hpp"
#include "models/torch/recorder.hpp"

namespace expunge::models {

torch::Tensor split_heads(const torch::Tensor& x, std::int64_t heads) {
  return x.view({x.size(0), x.size(1), heads, x.size(2) / heads}).transpose(1, 2);
}

torch::Tensor join_heads(const torch::Tensor& x) {
  return x.transpose(1, 2).reshape({x.size(0), x.size(2), x.size(1) * x.size(3)});
}

torch::Tensor additive_mask(const torch::Tensor& mask, torch::ScalarType type) {
  // Never in bf16 or half: the lowest float is -inf there, and 0 times that is no number.
  const bool is_double = type == torch::kDouble;
  const double lowest =
      is_double ? std::numeric_limits<double>::lowest() : std::numeric_limits<float>::lowest();
  return (1 - mask.to(is_double ? torch::kDouble : torch::kFloat)).mul_(lowest).unsqueeze(1).unsqueeze(1);
}

torch::Tensor attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                        const torch::Tensor& added, double dropout, bool training) {
  // A GPU has one kernel for all of it, which never keeps the scores; in deterministic mode it is one that
  // adds in a fixed order. The lowest float would be -inf in bf16.
  if (q.is_cuda() && !Recorder::active() && !(added.defined() && added.requires_grad())) {
    const auto mask = added.defined() ? std::optional(added.clamp_min(-1e30)) : std::nullopt;
    return at::scaled_dot_product_attention(q, k, v, mask, training ? dropout : 0.0);
  }
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(-1)));
  torch::Tensor scores = at::matmul(q * scale, k.transpose(-1, -2));
  if (added.defined()) scores = scores + added;
  return at::matmul(dropped(at::softmax(scores, -1), dropout, training), v);
}

torch::Tensor bucketed_distances(std::int64_t tokens, std::int64_t buckets, std::int64_t reach) {
  const torch::Tensor at = torch::arange(tokens, torch::kLong), r = at.unsqueeze(1) - at.unsqueeze(0);
  if (buckets == 0) return r;
  const std::int64_t mid = buckets / 2;
  const auto ratio = static_cast<double>(reach - 1) / static_cast<double>(mid);
  const torch::Tensor length = r.abs().clamp_min(mid).to(torch::kFloat) / static_cast<double>(mid),
                      longest = at::log(torch::full({}, ratio, torch::kFloat));
  const torch::Tensor far = at::ceil(at::log(length) / longest * static_cast<double>(mid - 1)) + mid;
  return at::where(r.abs() <= mid, r, far.to(torch::kLong) * r.sign());
}

}  // namespace expunge::models
