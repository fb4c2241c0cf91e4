#include "tasks/token_loss.hpp"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace expunge::tasks {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr std::int64_t kInCache = 1 << 16;  // floats

// Calls visit(first row, rows) for runs of rows that fit into a cache.
template <class Visit>
void for_rows(const torch::Tensor& logits, Visit&& visit) {
  const std::int64_t rows = logits.size(0), step = std::max<std::int64_t>(1, kInCache / logits.size(1));
  for (std::int64_t at = 0; at < rows; at += step) visit(at, std::min(step, rows - at));
}

bool any_asked(const std::int64_t* ids, std::int64_t count) {
  return std::any_of(ids, ids + count, [](auto id) { return id >= 0; });
}

struct LogProbability : torch::autograd::Function<LogProbability> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& logits,
                               const torch::Tensor& ids) {
    context->save_for_backward({logits, ids});
    torch::Tensor out = at::zeros({logits.size(0)}, torch::kFloat);
    const auto* id = ids.data_ptr<std::int64_t>();
    float* picked = out.data_ptr<float>();
    for_rows(logits, [&](std::int64_t at, std::int64_t count) {
      if (!any_asked(id + at, count)) return;
      const torch::Tensor part = at::log_softmax(logits.narrow(0, at, count), 1, torch::kFloat);
      for (std::int64_t i = 0; i < count; ++i)
        if (id[at + i] >= 0) picked[at + i] = part.data_ptr<float>()[i * part.size(1) + id[at + i]];
    });
    return out;
  }

  // g (1 at the token - softmax)
  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &logits = saved[0], &ids = saved[1], g = gradients[0].contiguous();
    torch::Tensor out = at::empty_like(logits);
    const auto* id = ids.data_ptr<std::int64_t>();
    const float* weight = g.data_ptr<float>();
    for_rows(logits, [&](std::int64_t at, std::int64_t count) {
      torch::Tensor into = out.narrow(0, at, count);
      if (!any_asked(id + at, count)) {
        into.zero_();
        return;
      }
      torch::Tensor part = at::softmax(logits.narrow(0, at, count), 1, torch::kFloat);
      for (std::int64_t i = 0; i < count; ++i) {
        torch::Tensor row = part.select(0, i);
        const std::int64_t token = id[at + i];
        if (token < 0) {
          row.zero_();
          continue;
        }
        row.mul_(-weight[at + i]);
        row.data_ptr<float>()[token] += weight[at + i];
      }
      into.copy_(part);
    });
    return {out, {}};
  }
};

}  // namespace

torch::Tensor log_probability_of(const torch::Tensor& ids, const torch::Tensor& logits) {
  if (!logits.device().is_cpu()) {
    const torch::Tensor all = at::log_softmax(logits, -1, torch::kFloat);
    return all.gather(-1, ids.clamp_min(0).unsqueeze(-1)).squeeze(-1) * ids.ge(0).to(torch::kFloat);
  }
  return LogProbability::apply(logits.reshape({-1, logits.size(-1)}).contiguous(),
                               ids.reshape({-1}).contiguous())
      .view(ids.sizes());
}

}  // namespace expunge::tasks
