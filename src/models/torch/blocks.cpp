#include "models/torch/blocks.hpp"

#include <cmath>

namespace expunge::models {
namespace {

template <class Draw>
void fill(torch::Tensor t, Draw&& draw) {
  const torch::NoGradGuard no_grad;
  torch::Tensor values = at::empty(t.sizes(), torch::kFloat);
  float* out = values.data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i) out[i] = static_cast<float>(draw(static_cast<std::uint64_t>(i)));
  t.copy_(values);
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

Linear::Linear(std::int64_t in, std::int64_t out, bool with_bias) {
  weight = register_parameter("weight", torch::zeros({out, in}));
  if (with_bias) bias = register_parameter("bias", torch::zeros({out}));
}

Conv2d::Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding, bool with_bias)
    : stride_(stride), padding_(padding) {
  weight = register_parameter("weight", torch::zeros({out, in, kernel, kernel}));
  if (with_bias) bias = register_parameter("bias", torch::zeros({out}));
}

LayerNorm::LayerNorm(std::int64_t width, double eps) : eps_(eps) {
  weight = register_parameter("weight", torch::ones({width}));
  bias = register_parameter("bias", torch::zeros({width}));
}

void fill_normal(torch::Tensor t, const Rng& rng, double deviation) {
  fill(t, [&](std::uint64_t i) { return deviation * rng.normal(i); });
}

void fill_truncated_normal(torch::Tensor t, const Rng& rng, double deviation) {
  fill(t, [&](std::uint64_t i) {
    for (std::uint64_t attempt = 0;; ++attempt)
      if (const double x = rng.normal(i, attempt); std::fabs(x) <= 2) return deviation * x;
  });
}

void fill_uniform(torch::Tensor t, const Rng& rng, double bound) {
  fill(t, [&](std::uint64_t i) { return bound * (2 * rng.uniform(i) - 1); });
}

void fill_kaiming_fan_out(torch::Tensor weight, const Rng& rng) {
  const double fan_out = static_cast<double>(weight.size(0) * weight.numel() / (weight.size(0) * weight.size(1)));
  fill_normal(weight, rng, std::sqrt(2 / fan_out));
}

void initialize_convolutional(Model& model, const Rng& rng) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> parameters;
  for (auto& p : model.named_parameters()) parameters[p.key()] = p.value();
  for (auto& [name, value] : parameters) {
    const Rng own = rng.sub(name);
    if (value.dim() == 4) {
      fill_kaiming_fan_out(value, own);
    } else if (value.dim() == 2) {
      fill_uniform(value, own, 1 / std::sqrt(static_cast<double>(value.size(1))));
    } else if (ends_with(name, "bias")) {
      const auto weight = parameters.find(name.substr(0, name.size() - 4) + "weight");
      const bool linear = weight != parameters.end() && weight->second.dim() == 2;
      if (linear) fill_uniform(value, own, 1 / std::sqrt(static_cast<double>(weight->second.size(1))));
      else value.zero_();
    } else {
      value.fill_(1);
    }
  }
  for (BatchNorm* bn : model.batch_norms()) {
    bn->running_mean.zero_();
    bn->running_var.fill_(1);
    bn->num_batches_tracked.zero_();
  }
}

}  // namespace expunge::models
