#include "models/torch/in_place.hpp"

#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "models/torch/recorder.hpp"
#include "tensor/gradient_sink.hpp"

namespace expunge::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

torch::Tensor as_rows(const torch::Tensor& x) { return x.reshape({-1, x.size(-1)}); }

// Calls fill(place) for the gradient of `parameter`: in the sink (then undefined is returned) or apart.
template <class Fill>
torch::Tensor gradient_of(const torch::Tensor& parameter, Fill&& fill) {
  if (tensor::GradientSink::deliver(parameter, fill)) return {};
  torch::Tensor own = at::empty_like(parameter);
  fill(own);
  return own;
}

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& weight,
                               const std::optional<torch::Tensor>& bias) {
    context->save_for_backward({x, weight, bias.value_or(torch::Tensor())});
    return at::linear(x, weight, bias);
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2];
    const torch::Tensor g = as_rows(gradients[0]);
    torch::Tensor of_x, of_weight, of_bias;
    if (context->needs_input_grad(0)) of_x = at::mm(g, weight).view(x.sizes());
    if (context->needs_input_grad(1))
      of_weight = gradient_of(weight, [&](torch::Tensor place) { at::mm_out(place, g.t(), as_rows(x)); });
    if (bias.defined() && context->needs_input_grad(2))
      of_bias = gradient_of(bias, [&](torch::Tensor place) { at::sum_out(place, g, {0}); });
    return {of_x, of_weight, of_bias};
  }
};

struct EmbeddingFunction : torch::autograd::Function<EmbeddingFunction> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& weight,
                               const torch::Tensor& ids, std::int64_t padding) {
    context->save_for_backward({weight, ids});
    context->saved_data["padding"] = padding;
    return at::embedding(weight, ids, padding);
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const std::int64_t padding = context->saved_data["padding"].toInt();
    const torch::Tensor ids = saved[1].contiguous().view({-1}), g = as_rows(gradients[0]).contiguous();
    const std::int64_t width = g.size(1);
    return {gradient_of(saved[0],
                        [&](torch::Tensor place) {
                          place.zero_();
                          const auto* id = ids.data_ptr<std::int64_t>();
                          const float* from = g.data_ptr<float>();
                          float* table = place.data_ptr<float>();
                          for (std::int64_t i = 0; i < ids.numel(); ++i, from += width) {
                            if (id[i] == padding) continue;
                            float* row = table + id[i] * width;
                            for (std::int64_t c = 0; c < width; ++c) row[c] += from[c];
                          }
                        }),
            {},
            {}};
  }
};

}  // namespace

bool writes_in_place(const torch::Tensor& weight) {
  return weight.device().is_cpu() && weight.scalar_type() == torch::kFloat &&
         !at::autocast::is_autocast_enabled(at::kCPU) && !Recorder::active();
}

torch::Tensor linear_in_place(const torch::Tensor& x, const torch::Tensor& weight,
                              const torch::Tensor& bias) {
  return LinearFunction::apply(x, weight, bias.defined() ? std::optional<torch::Tensor>(bias) : std::nullopt);
}

torch::Tensor embedding_in_place(const torch::Tensor& weight, const torch::Tensor& ids,
                                 std::int64_t padding) {
  return EmbeddingFunction::apply(weight, ids, padding);
}

}  // namespace expunge::models
