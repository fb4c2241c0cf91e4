#include "models/torch/blocks.hpp"

#include <ATen/Parallel.h>

#include <cmath>

#include "core/text.hpp"
#include "models/config_json.hpp"
#include "models/torch/in_place.hpp"
#include "models/torch/matrix_convolution.hpp"
#include "models/torch/recorder.hpp"

namespace expunge::models {
namespace {

template <class Draw>
void fill(torch::Tensor t, Draw&& draw) {
  const torch::NoGradGuard no_grad;
  torch::Tensor values = at::empty(t.sizes(), torch::kFloat);
  float* out = values.data_ptr<float>();
  at::parallel_for(0, values.numel(), 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      out[i] = static_cast<float>(draw(static_cast<std::uint64_t>(i)));
  });
  t.copy_(values);
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Adapters are set by who adds them; a fresh initialisation of the network leaves them alone.
bool is_adapter(const std::string& name) { return name.find(".lora_") != std::string::npos; }

}  // namespace

Linear::Linear(std::int64_t in, std::int64_t out, bool with_bias) {
  weight = register_parameter("weight", torch::zeros({out, in}));
  if (with_bias) bias = register_parameter("bias", torch::zeros({out}));
}

torch::Tensor Linear::forward(const torch::Tensor& x, bool shared) {
  const torch::Tensor y =
      writes_in_place(weight) ? linear_in_place(x, weight, bias) : at::linear(x, weight, bias);
  if (Recorder* r = Recorder::active())
    r->uses.push_back({shared ? LayerUse::kShared : LayerUse::kLinear, weight, bias, x, y});
  if (!lora_a.defined()) return y;
  const torch::Tensor in = lora_dropout_ > 0 ? at::dropout(x, lora_dropout_, is_training()) : x;
  return y + at::linear(at::linear(in, lora_a), lora_b) * lora_scale_;
}

void Linear::add_adapter(std::int64_t rank, double scale, double dropout, const Rng& rng) {
  lora_a = register_parameter("lora_A", torch::zeros({rank, weight.size(1)}));
  lora_b = register_parameter("lora_B", torch::zeros({weight.size(0), rank}));
  fill_uniform(lora_a, rng, 1 / std::sqrt(static_cast<double>(weight.size(1))));
  lora_scale_ = scale;
  lora_dropout_ = dropout;
}

void Linear::merge_adapter() {
  const torch::NoGradGuard no_grad;
  weight.add_(at::mm(lora_b, lora_a), lora_scale_);
  lora_b.zero_();
}

void add_adapters(Model& model, const std::vector<Projection>& projections, std::int64_t rank, double alpha,
                  double dropout, const Rng& rng) {
  std::map<std::string, Linear*> linear;
  for (const auto& module : model.named_modules({}, false))
    if (auto* l = dynamic_cast<Linear*>(module.value().get())) linear[module.key()] = l;
  const double scale = alpha > 0 ? alpha / static_cast<double>(rank) : 1;
  for (const auto& p : projections) {
    const auto found = linear.find(p.name);
    EXPUNGE_CHECK(found != linear.end(), "the model has no linear layer {}", p.name);
    found->second->add_adapter(rank, scale, dropout, rng.sub(p.name));
  }
}

Conv2d::Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
               std::int64_t padding, bool with_bias, std::int64_t groups, std::int64_t dilation)
    : stride_(stride), padding_(padding), groups_(groups), dilation_(dilation) {
  weight = register_parameter("weight", torch::zeros({out, in / groups, kernel, kernel}));
  if (with_bias) bias = register_parameter("bias", torch::zeros({out}));
}

torch::Tensor Conv2d::forward(const torch::Tensor& x, std::int64_t padding) {
  const bool plain = !bias.defined() && groups_ == 1 && dilation_ == 1 && !Recorder::active();
  if (plain && suits_matrix_convolution(x, weight, stride_, padding))
    return matrix_convolution(x, weight, stride_, padding);
  const torch::Tensor y = at::conv2d(x, weight, bias, stride_, padding, dilation_, groups_);
  if (Recorder* r = Recorder::active())
    r->uses.push_back({LayerUse::kConvolution, weight, bias, x, y, 1, stride_, padding, dilation_, groups_});
  return y;
}

Embedding::Embedding(std::int64_t count, std::int64_t width, std::int64_t row) : padding(row) {
  weight = register_parameter("weight", torch::zeros({count, width}));
}

torch::Tensor Embedding::forward(const torch::Tensor& ids) {
  if (writes_in_place(weight)) return embedding_in_place(weight, ids, padding);
  const torch::Tensor y = at::embedding(weight, ids, padding);
  if (Recorder* r = Recorder::active())
    r->uses.push_back({LayerUse::kEmbedding, weight, {}, ids, y, padding});
  return y;
}

LayerNorm::LayerNorm(std::int64_t width, double eps) : eps_(eps) {
  weight = register_parameter("weight", torch::ones({width}));
  bias = register_parameter("bias", torch::zeros({width}));
}

torch::Tensor LayerNorm::forward(const torch::Tensor& x) {
  const torch::Tensor y = at::layer_norm(x, {weight.numel()}, weight, bias, eps_);
  if (Recorder* r = Recorder::active()) {
    const torch::NoGradGuard no_grad;
    const torch::Tensor normalised = at::layer_norm(x, {weight.numel()}, {}, {}, eps_);
    r->uses.push_back({LayerUse::kScale, weight, bias, normalised, y, x.dim() - 1});
  }
  return y;
}

RmsNorm::RmsNorm(std::int64_t width, double eps) : eps_(eps) {
  weight = register_parameter("weight", torch::ones({width}));
}

torch::Tensor RmsNorm::forward(const torch::Tensor& x) {
  const torch::Tensor wide = x.to(torch::kFloat);
  const torch::Tensor normalised =
      (wide * at::rsqrt(wide.square().mean(-1, true) + eps_)).to(x.scalar_type());
  const torch::Tensor y = normalised * weight;
  if (Recorder* r = Recorder::active())
    r->uses.push_back({LayerUse::kScale, weight, {}, normalised, y, x.dim() - 1});
  return y;
}

Adapter::Adapter(std::int64_t channels, std::int64_t width, const Rng& rng)
    : down_(register_module("down", std::make_shared<Linear>(channels, width))),
      up_(register_module("up", std::make_shared<Linear>(width, channels))) {
  fill_normal(down_->weight, rng, 1 / std::sqrt(static_cast<double>(channels)));
}

torch::Tensor Adapter::forward(const torch::Tensor& x, const Tensors&) {
  if (x.dim() != 4) return x + up_->forward(at::relu(down_->forward(x)));
  const torch::Tensor last = x.flatten(2).transpose(1, 2);
  return x + up_->forward(at::relu(down_->forward(last))).transpose(1, 2).reshape(x.sizes());
}

torch::Tensor dropped(const torch::Tensor& x, double p, bool training) {
  return training && p > 0 ? at::dropout(x, p, true) : x;
}

torch::Tensor drop_path(const torch::Tensor& x, double p, bool training) {
  if (!training || p <= 0) return x;
  std::vector<std::int64_t> shape(static_cast<std::size_t>(x.dim()), 1);
  shape[0] = x.size(0);
  return x * (at::empty(shape, x.options()).bernoulli_(1 - p) / (1 - p));
}

Activation activation_of(const nlohmann::json& config, const std::string& key, const std::string& fallback) {
  static const std::map<std::string, Activation> known = {
      {"relu", [](const torch::Tensor& x) { return at::relu(x); }},
      {"relu6", [](const torch::Tensor& x) { return at::clamp(x, 0, 6); }},
      {"gelu", [](const torch::Tensor& x) { return at::gelu(x); }},
      {"gelu_new", [](const torch::Tensor& x) { return at::gelu(x, "tanh"); }},
      {"gelu_pytorch_tanh", [](const torch::Tensor& x) { return at::gelu(x, "tanh"); }},
      {"quick_gelu", [](const torch::Tensor& x) { return x * at::sigmoid(1.702 * x); }},
      {"silu", [](const torch::Tensor& x) { return at::silu(x); }},
      {"tanh", [](const torch::Tensor& x) { return at::tanh(x); }}};
  const auto name = field<std::string>(config, key, fallback);
  if (const auto found = known.find(name); found != known.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [n, unused] : known) names.push_back(n);
  throw DataError::corrupt(
      fmt::format("config.json: unknown {} \"{}\"{}", key, name, did_you_mean(name, names)));
}

torch::nn::Module& container(torch::nn::Module& root, const std::string& dotted) {
  torch::nn::Module* at = &root;
  for (const auto& name : split(dotted, '.')) {
    const auto children = at->named_children();
    const auto* known = children.find(name);
    at = known ? known->get() : at->register_module(name, std::make_shared<torch::nn::Module>()).get();
  }
  return *at;
}

void fill_normal(torch::Tensor t, const Rng& rng, double deviation) {
  fill(t, [&](std::uint64_t i) { return deviation * rng.normal(i); });
}

void fill_truncated_normal(torch::Tensor t, const Rng& rng, double deviation) {
  fill(t, [&](std::uint64_t i) {
    for (std::uint64_t attempt = 0;; ++attempt)
      if (const double x = deviation * rng.normal(i, attempt); std::fabs(x) <= 2) return x;
  });
}

void fill_uniform(torch::Tensor t, const Rng& rng, double bound) {
  fill(t, [&](std::uint64_t i) { return bound * (2 * rng.uniform(i) - 1); });
}

void fill_kaiming_fan_out(torch::Tensor weight, const Rng& rng) {
  const double fan_out = static_cast<double>(weight.numel() / weight.size(1));
  fill_normal(weight, rng, std::sqrt(2 / fan_out));
}

void initialize_convolutional(Model& model, const Rng& rng) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> parameters;
  for (auto& p : model.named_parameters()) parameters[p.key()] = p.value();
  for (auto& [name, value] : parameters) {
    if (is_adapter(name)) continue;
    const Rng own = rng.sub(name);
    if (value.dim() == 4) {
      fill_kaiming_fan_out(value, own);
    } else if (value.dim() == 2) {
      fill_uniform(value, own, 1 / std::sqrt(static_cast<double>(value.size(1))));
    } else if (ends_with(name, "bias")) {
      const auto weight = parameters.find(name.substr(0, name.size() - 4) + "weight");
      const bool linear = weight != parameters.end() && weight->second.dim() == 2;
      if (linear)
        fill_uniform(value, own, 1 / std::sqrt(static_cast<double>(weight->second.size(1))));
      else
        value.zero_();
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

void initialize_transformer(Model& model, const Rng& rng, double deviation) {
  const torch::NoGradGuard no_grad;
  for (auto& p : model.named_parameters()) {
    torch::Tensor& value = p.value();
    if (is_adapter(p.key())) continue;
    if (value.dim() >= 2)
      fill_truncated_normal(value, rng.sub(p.key()), deviation);
    else
      value.fill_(ends_with(p.key(), "bias") ? 0 : 1);
  }
  for (const auto& module : model.modules(false))
    if (auto* table = dynamic_cast<Embedding*>(module.get()); table && table->padding >= 0)
      table->weight[table->padding].zero_();
}

}  // namespace expunge::models
