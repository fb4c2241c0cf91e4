// Vision transformer (Dosovitskiy et al. 2021) as Hugging Face holds it: patches by convolution, class token,
// learned positions, pre-norm layers, final norm, linear head on the class token (no pooler).
#include <array>

#include "models/activations.hpp"
#include "models/config_json.hpp"
#include "models/descriptor.hpp"
#include "models/transformer_cost.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/attention.hpp"
#include "models/torch/blocks.hpp"
#include "models/torch/recompute.hpp"
#include "models/torch/recorder.hpp"
#endif

namespace expunge::models {
namespace vit {

struct Sizes {
  std::int64_t channels, height, width, patch, hidden, layers, heads, inner, classes;
  bool qkv_bias;
  std::int64_t patches(std::int64_t h, std::int64_t w) const { return (h / patch) * (w / patch); }
  LayerShape layer(std::int64_t h, std::int64_t w) const {
    return {static_cast<double>(patches(h, w) + 1), static_cast<double>(hidden), static_cast<double>(inner)};
  }
};

Sizes read_sizes(const nlohmann::json& config) {
  Sizes s{size_field(config, "num_channels", 3),
          0,
          0,
          size_field(config, "patch_size", 16),
          size_field(config, "hidden_size", 768),
          size_field(config, "num_hidden_layers", 12),
          size_field(config, "num_attention_heads", 12),
          size_field(config, "intermediate_size", 3072),
          class_count(config),
          field(config, "qkv_bias", true)};
  if (const auto size = config.find("image_size"); size != config.end() && size->is_array()) {
    const auto sides = field(config, "image_size", std::vector<std::int64_t>{});
    if (sides.size() != 2)
      throw DataError::corrupt(
          fmt::format("config.json: image_size is {}, expected one or two sides", size->dump()));
    s.height = sides[0], s.width = sides[1];
  } else {
    s.height = s.width = size_field(config, "image_size", 224);
  }
  if (s.height < s.patch || s.width < s.patch)
    throw DataError::corrupt(fmt::format("config.json: an image of {}x{} has no patch of {}x{}", s.height,
                                         s.width, s.patch, s.patch));
  if (s.hidden % s.heads != 0)
    throw DataError::corrupt(fmt::format(
        "config.json: hidden_size {} is not a multiple of num_attention_heads {}", s.hidden, s.heads));
  return s;
}

#ifndef EXPUNGE_ENGINE

struct Registered {
  const char* name;
  std::int64_t hidden, layers, heads, inner, patch;
};
constexpr std::array<Registered, 4> kRegistered = {{{"vit_tiny_patch4", 192, 12, 3, 768, 4},
                                                    {"vit_small", 384, 12, 6, 1536, 16},
                                                    {"vit_base", 768, 12, 12, 3072, 16},
                                                    {"vit_large", 1024, 24, 16, 4096, 16}}};

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  for (const auto& r : kRegistered) {
    if (name != r.name) continue;
    if (input.height < r.patch || input.width < r.patch)
      throw ConfigError(
          fmt::format("{}: images of {}x{} are smaller than its patches of {}x{}; vit_tiny_patch4 is made "
                      "for small images",
                      name, input.height, input.width, r.patch, r.patch));
    nlohmann::json c{{"architectures", {"ViTForImageClassification"}},
                     {"model_type", "vit"},
                     {"num_channels", input.channels},
                     {"image_size", input.height},
                     {"patch_size", r.patch},
                     {"encoder_stride", r.patch},
                     {"hidden_size", r.hidden},
                     {"num_hidden_layers", r.layers},
                     {"num_attention_heads", r.heads},
                     {"intermediate_size", r.inner},
                     {"hidden_act", "gelu"},
                     {"hidden_dropout_prob", 0.0},
                     {"attention_probs_dropout_prob", 0.0},
                     {"initializer_range", 0.02},
                     {"layer_norm_eps", 1e-12},
                     {"qkv_bias", true},
                     {"torch_dtype", "float32"}};
    if (input.height != input.width) c["image_size"] = {input.height, input.width};
    add_labels(c, input.classes);
    return c;
  }
  throw InternalError("vit: " + name + " is not registered");
}

std::int64_t parameters(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  const std::int64_t d = s.hidden, embeddings = d * s.channels * s.patch * s.patch + d + d +
                                                (s.patches(s.height, s.width) + 1) * d;
  const std::int64_t attention = 4 * d * d + (s.qkv_bias ? 4 : 1) * d, mlp = 2 * d * s.inner + s.inner + d,
                     norms = 4 * d;
  return embeddings + s.layers * (attention + mlp + norms) + 2 * d + (d + 1) * s.classes;
}

Cost cost(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Sizes s = read_sizes(config);
  const auto d = static_cast<double>(s.hidden), patches = static_cast<double>(s.patches(height, width));
  const double first = 2 * patches * d * static_cast<double>(s.channels * s.patch * s.patch);
  const double forward = first + static_cast<double>(s.layers) * layer_flops(s.layer(height, width)) +
                         2 * d * static_cast<double>(s.classes);
  return {forward, 2 * forward - first};  // no gradient with respect to the image
}

Activations activations(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Sizes s = read_sizes(config);
  const LayerShape l = s.layer(height, width);
  const AttentionLayer layer{.tokens = l.tokens,
                             .hidden = l.hidden,
                             .inner = l.inner,
                             .scores = static_cast<double>(s.heads) * l.tokens * l.tokens,
                             .drops = field(config, "hidden_dropout_prob", 0.0) > 0,
                             .drops_scores = field(config, "attention_probs_dropout_prob", 0.0) > 0};
  return of_layers(layer, static_cast<double>(s.layers), 2 * layer.wide());
}

std::vector<Projection> projections(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  std::vector<Projection> out;
  for (std::int64_t i = 0; i < s.layers; ++i)
    for (const char* which : {"query", "value"})
      out.push_back(
          {fmt::format("vit.encoder.layer.{}.attention.attention.{}", i, which), s.hidden, s.hidden});
  return out;
}

Cost lora_cost(const nlohmann::json& config, std::int64_t height, std::int64_t width, std::int64_t rank) {
  const Sizes s = read_sizes(config);
  const auto r = static_cast<double>(rank), layers = static_cast<double>(s.layers),
             head = 2 * static_cast<double>(s.hidden * s.classes);
  const LayerShape layer = s.layer(height, width);
  return {cost(config, height, width).forward + layers * adapter_flops(layer, r),
          2 * head + adapted_layers_backward(layer, layers, r)};
}

const RegisterDescriptor entry{{.family = "vit",
                                .model_type = "vit",
                                .summary = "vision transformer",
                                .source = "Dosovitskiy et al., ICLR 2021",
                                .names = {"vit_tiny_patch4", "vit_small", "vit_base", "vit_large"},
                                .config = make_config,
                                .parameters = parameters,
                                .cost = cost,
                                .head = {"classifier."},
                                .projections = projections,
                                .lora_cost = lora_cost,
                                .head_parameters =
                                    [](const nlohmann::json& config) {
                                      const Sizes s = read_sizes(config);
                                      return (s.hidden + 1) * s.classes;
                                    },
                                .activations = activations}};

#else

struct Layer {
  std::shared_ptr<LayerNorm> norm_before, norm_after;
  std::shared_ptr<Linear> query, key, value, mix, widen, narrow;
};

class ViT : public Model {
 public:
  explicit ViT(const nlohmann::json& config)
      : Model(config),
        sizes_(read_sizes(config)),
        activation_(activation_of(config, "hidden_act", "gelu")),
        dropout_(field(config, "hidden_dropout_prob", 0.0)),
        attention_dropout_(field(config, "attention_probs_dropout_prob", 0.0)),
        deviation_(field(config, "initializer_range", 0.02)) {
    const auto& s = sizes_;
    const double eps = field(config, "layer_norm_eps", 1e-12);
    auto& embeddings = container(*this, "vit.embeddings");
    class_token_ = embeddings.register_parameter("cls_token", torch::zeros({1, 1, s.hidden}));
    positions_ = embeddings.register_parameter("position_embeddings",
                                               torch::zeros({1, s.patches(s.height, s.width) + 1, s.hidden}));
    patches_ = place(*this, "vit.embeddings.patch_embeddings.projection",
                     std::make_shared<Conv2d>(s.channels, s.hidden, s.patch, s.patch, 0, true));
    for (std::int64_t i = 0; i < s.layers; ++i)
      layers_.push_back(make_layer(fmt::format("vit.encoder.layer.{}.", i), eps));
    norm_ = place(*this, "vit.layernorm", std::make_shared<LayerNorm>(s.hidden, eps));
    head_ = place(*this, "classifier", std::make_shared<Linear>(s.hidden, s.classes));
  }

  Tensors forward(const Tensors& inputs) override {
    const torch::Tensor& pixels = inputs.at("pixel_values");
    EXPUNGE_CHECK(pixels.size(2) == sizes_.height && pixels.size(3) == sizes_.width,
                  "images of {}x{}, the model takes {}x{}", pixels.size(2), pixels.size(3), sizes_.height,
                  sizes_.width);
    torch::Tensor x = patches_->forward(pixels).flatten(2).transpose(1, 2);  // [n, patches, hidden]
    const std::int64_t n = x.size(0);
    x = drop(at::cat({broadcast(class_token_, n), x}, 1) + broadcast(positions_, n));
    for (std::size_t i = 0; i < layers_.size(); ++i)
      x = recomputed(x.device(), [this, i, x] { return transform(i, x); });
    const torch::Tensor features = norm_->forward(x), pooled = features.select(1, 0);
    return {{"logits", head_->forward(pooled)}, {"pooled", pooled}, {"features", features}};
  }
  std::string head_prefix() const override { return "classifier"; }
  std::vector<AdapterSite> adapter_sites() const override {
    std::vector<AdapterSite> out;
    for (std::size_t i = 0; i < layers_.size(); ++i)
      out.push_back({fmt::format("layer{}", i), sizes_.hidden});
    return out;
  }

  void initialize(const Rng& rng) override { initialize_transformer(*this, rng, deviation_); }
  bool has_dropout() const override { return dropout_ > 0 || attention_dropout_ > 0; }
  std::string base_prefix() const override { return "vit"; }
  bool ignores(const std::string& name) const override {
    return Model::ignores(name) || name.rfind("vit.pooler.", 0) == 0 || name.rfind("pooler.", 0) == 0;
  }
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override {
    return {{"num_attention_heads", read_sizes(config).heads},
            {"layer_norm_eps", field(config, "layer_norm_eps", 1e-12)},
            {"hidden_act", field<std::string>(config, "hidden_act", "gelu")}};
  }

 private:
  Layer make_layer(const std::string& at, double eps) {
    const std::int64_t d = sizes_.hidden;
    const auto linear = [&](const std::string& name, std::int64_t in, std::int64_t out, bool bias = true) {
      return place(*this, at + name, std::make_shared<Linear>(in, out, bias));
    };
    Layer l;
    l.query = linear("attention.attention.query", d, d, sizes_.qkv_bias);
    l.key = linear("attention.attention.key", d, d, sizes_.qkv_bias);
    l.value = linear("attention.attention.value", d, d, sizes_.qkv_bias);
    l.mix = linear("attention.output.dense", d, d);
    l.widen = linear("intermediate.dense", d, sizes_.inner);
    l.narrow = linear("output.dense", sizes_.inner, d);
    l.norm_before = place(*this, at + "layernorm_before", std::make_shared<LayerNorm>(d, eps));
    l.norm_after = place(*this, at + "layernorm_after", std::make_shared<LayerNorm>(d, eps));
    return l;
  }

  torch::Tensor drop(const torch::Tensor& x) const { return dropped(x, dropout_, is_training()); }

  torch::Tensor transform(std::size_t i, const torch::Tensor& x) const {
    const Layer& layer = layers_[i];
    const torch::Tensor attended = x + attend(layer, layer.norm_before->forward(x));
    const torch::Tensor inner =
        drop(layer.narrow->forward(activation_(layer.widen->forward(layer.norm_after->forward(attended)))));
    return attended + adapted(fmt::format("layer{}", i), inner);
  }

  torch::Tensor attend(const Layer& layer, const torch::Tensor& x) const {
    const auto heads = [&](const std::shared_ptr<Linear>& projection) {
      return split_heads(projection->forward(x), sizes_.heads);
    };
    const torch::Tensor mixed = attention(heads(layer.query), heads(layer.key), heads(layer.value), {},
                                          attention_dropout_, is_training());
    return drop(layer.mix->forward(join_heads(mixed)));
  }

  Sizes sizes_;
  Activation activation_;
  double dropout_, attention_dropout_, deviation_;
  torch::Tensor class_token_, positions_;
  std::shared_ptr<Conv2d> patches_;
  std::vector<Layer> layers_;
  std::shared_ptr<LayerNorm> norm_;
  std::shared_ptr<Linear> head_;
};

const RegisterBuilder builder{
    "vit", [](const nlohmann::json& c) -> std::shared_ptr<Model> { return std::make_shared<ViT>(c); }};

#endif

}  // namespace vit
}  // namespace expunge::models
