// Causal language models of the LLaMA form (Touvron et al. 2023) as Hugging Face holds them: token embedding,
// pre-norm layers of rotary attention with grouped keys and values and a gated perceptron, final norm, untied
// head. No dropout, no biases unless config.json says so. Attention is causal; padded keys are masked.
#include <array>
#include <cmath>

#include "models/activations.hpp"
#include "models/config_json.hpp"
#include "models/descriptor.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/blocks.hpp"
#include "models/torch/recompute.hpp"
#include "models/torch/recorder.hpp"
#endif

namespace expunge::models {
namespace llama {

struct Sizes {
  std::int64_t vocabulary, hidden, layers, heads, groups, inner, width;  // groups: of keys; width: of a head
  bool attention_bias, perceptron_bias;
};

Sizes read_sizes(const nlohmann::json& config) {
  Sizes s{size_field(config, "vocab_size", 32000),
          size_field(config, "hidden_size", 4096),
          size_field(config, "num_hidden_layers", 32),
          size_field(config, "num_attention_heads", 32),
          0,
          size_field(config, "intermediate_size", 11008),
          0,
          field(config, "attention_bias", false),
          field(config, "mlp_bias", false)};
  s.groups = size_field(config, "num_key_value_heads", s.heads);
  s.width = size_field(config, "head_dim", std::max<std::int64_t>(1, s.hidden / s.heads));
  const auto refuse = [](const std::string& why) { throw DataError::corrupt("config.json: " + why); };
  if (s.heads % s.groups != 0)
    refuse(
        fmt::format("num_attention_heads {} is not a multiple of num_key_value_heads {}", s.heads, s.groups));
  if (!config.contains("head_dim") && s.hidden % s.heads != 0)
    refuse(fmt::format("hidden_size {} is not a multiple of num_attention_heads {}", s.hidden, s.heads));
  if (s.width % 2 != 0) refuse(fmt::format("rotary positions need heads of even width, not {}", s.width));
  if (field(config, "tie_word_embeddings", false)) refuse("tied word embeddings are not supported");
  const auto scaling = config.find("rope_scaling");
  if (scaling != config.end() && !scaling->is_null()) refuse("rope_scaling is not supported");
  return s;
}

#ifndef EXPUNGE_ENGINE

struct Registered {
  const char* name;
  std::int64_t hidden, layers, heads, groups, inner, positions;
  double eps;
};
constexpr std::array<Registered, 5> kRegistered = {{{"llama_tiny", 64, 2, 4, 2, 176, 512, 1e-5},
                                                    {"llama_small", 288, 6, 6, 6, 768, 1024, 1e-5},
                                                    {"llama_1b", 2048, 22, 32, 4, 5632, 2048, 1e-5},
                                                    {"llama_7b", 4096, 32, 32, 32, 11008, 2048, 1e-6},
                                                    {"llama_13b", 5120, 40, 40, 40, 13824, 2048, 1e-6}}};

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  for (const auto& r : kRegistered) {
    if (name != r.name) continue;
    return {{"architectures", {"LlamaForCausalLM"}},
            {"model_type", "llama"},
            {"vocab_size", input.vocabulary > 0 ? input.vocabulary : 32000},
            {"hidden_size", r.hidden},
            {"intermediate_size", r.inner},
            {"num_hidden_layers", r.layers},
            {"num_attention_heads", r.heads},
            {"num_key_value_heads", r.groups},
            {"max_position_embeddings", std::max(input.tokens, r.positions)},
            {"hidden_act", "silu"},
            {"rms_norm_eps", r.eps},
            {"rope_theta", 10000.0},
            {"initializer_range", 0.02},
            {"attention_bias", false},
            {"mlp_bias", false},
            {"tie_word_embeddings", false},
            {"torch_dtype", "float32"}};
  }
  throw InternalError("llama: " + name + " is not registered");
}

std::int64_t parameters(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  const std::int64_t d = s.hidden, q = s.heads * s.width, kv = s.groups * s.width;
  const std::int64_t attention = 2 * d * q + 2 * d * kv + (s.attention_bias ? q + 2 * kv + d : 0),
                     perceptron = 3 * d * s.inner + (s.perceptron_bias ? 2 * s.inner + d : 0);
  return 2 * s.vocabulary * d + s.layers * (attention + perceptron + 2 * d) + d;
}

struct Forward {
  double inputs, mix, scores, perceptron, head;  // inputs: query, key and value; scores: both products
};

Forward forward_of(const Sizes& s, double tokens) {
  const auto d = static_cast<double>(s.hidden), q = static_cast<double>(s.heads * s.width),
             kv = static_cast<double>(s.groups * s.width);
  return {2 * tokens * d * (q + 2 * kv), 2 * tokens * q * d, 4 * tokens * tokens * q,
          6 * tokens * d * static_cast<double>(s.inner), 2 * tokens * d * static_cast<double>(s.vocabulary)};
}

// Of a text of `width` tokens.
Cost cost(const nlohmann::json& config, std::int64_t, std::int64_t width) {
  const Sizes s = read_sizes(config);
  const Forward f = forward_of(s, static_cast<double>(width));
  const double forward =
      static_cast<double>(s.layers) * (f.inputs + f.mix + f.scores + f.perceptron) + f.head;
  return {forward, 2 * forward};  // the embedding is a layer below every product
}

// A layer keeps what others do, the normalised states before the norms' weights, and both factors of the
// gated perceptron. Logits are kept as they are and as log probabilities.
Activations activations(const nlohmann::json& config, std::int64_t, std::int64_t width) {
  const Sizes s = read_sizes(config);
  const auto tokens = static_cast<double>(width), d = static_cast<double>(s.hidden),
             inner = static_cast<double>(s.inner), layers = static_cast<double>(s.layers);
  const AttentionLayer plain{.tokens = tokens,
                             .hidden = d,
                             .inner = inner,
                             .scores = static_cast<double>(s.heads) * tokens * tokens};
  const double layer = plain.kept() + 2 * tokens * d + 2 * tokens * inner,
               logits = tokens * static_cast<double>(s.vocabulary), outside = 3 * tokens * d + 2 * logits;
  return {layers * layer + outside, layers * tokens * d + layer + outside,
          std::max(plain.moving() + 2 * tokens * inner, 2 * logits)};
}

std::vector<Projection> projections(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  std::vector<Projection> out;
  for (std::int64_t i = 0; i < s.layers; ++i) {
    const auto at = fmt::format("model.layers.{}.self_attn.", i);
    out.push_back({at + "q_proj", s.hidden, s.heads * s.width});
    out.push_back({at + "v_proj", s.hidden, s.groups * s.width});
  }
  return out;
}

// Gradients flow from the head down to the first layer's adapters: through every matrix above them, into none
// of their weights. The first layer's input needs no gradient, nor does its key.
Cost lora_cost(const nlohmann::json& config, std::int64_t height, std::int64_t width, std::int64_t rank) {
  const Sizes s = read_sizes(config);
  const auto tokens = static_cast<double>(width), r = static_cast<double>(rank),
             layers = static_cast<double>(s.layers);
  const Forward f = forward_of(s, tokens);
  const double down = 4 * tokens * r * static_cast<double>(s.hidden),
               up = 2 * tokens * r * static_cast<double>((s.heads + s.groups) * s.width);
  const double upper = f.inputs + f.mix + 2 * f.scores + f.perceptron + 2 * (down + up),
               lowest = f.mix + 1.5 * f.scores + f.perceptron + down + 2 * up;
  return {cost(config, height, width).forward + layers * (down + up), f.head + (layers - 1) * upper + lowest};
}

const RegisterDescriptor entry{{.family = "llama",
                                .model_type = "llama",
                                .summary = "causal language model of the LLaMA form",
                                .source = "Touvron et al. 2023",
                                .names = {"llama_tiny", "llama_small", "llama_1b", "llama_7b", "llama_13b"},
                                .config = make_config,
                                .parameters = parameters,
                                .cost = cost,
                                .takes_text = true,
                                .task = "causal_lm",
                                .projections = projections,
                                .lora_cost = lora_cost,
                                .head_parameters =
                                    [](const nlohmann::json&) {
                                      return std::int64_t{0};  // adapters alone are trained
                                    },
                                .activations = activations}};

#else

// transformers 5 writes it inside rope_parameters.
double rope_base(const nlohmann::json& config) {
  const auto inside = config.find("rope_parameters");
  return inside != config.end() && inside->is_object() ? field(*inside, "rope_theta", 10000.0)
                                                       : field(config, "rope_theta", 10000.0);
}

// Halves of the width as the two coordinates that turn: x cos + (-x2, x1) sin; x [n, heads, tokens, width].
torch::Tensor rotated(const torch::Tensor& x, const torch::Tensor& cosine, const torch::Tensor& sine) {
  const auto halves = x.chunk(2, -1);
  return x * cosine + at::cat({-halves[1], halves[0]}, -1) * sine;
}

struct Layer {
  std::shared_ptr<RmsNorm> norm_before, norm_after;
  std::shared_ptr<Linear> query, key, value, mix, gate, widen, narrow;
};

struct Positions {
  torch::Tensor cosine, sine;  // [tokens, width]
  torch::Tensor hidden;        // [n, 1, tokens, tokens], true where a query may not look
};

class Llama : public Model {
 public:
  explicit Llama(const nlohmann::json& config)
      : Model(config),
        sizes_(read_sizes(config)),
        activation_(activation_of(config, "hidden_act", "silu")),
        base_(rope_base(config)),
        deviation_(field(config, "initializer_range", 0.02)) {
    const double eps = field(config, "rms_norm_eps", 1e-6);
    words_ =
        place(*this, "model.embed_tokens", std::make_shared<Embedding>(sizes_.vocabulary, sizes_.hidden));
    for (std::int64_t i = 0; i < sizes_.layers; ++i)
      layers_.push_back(make_layer(fmt::format("model.layers.{}.", i), eps));
    norm_ = place(*this, "model.norm", std::make_shared<RmsNorm>(sizes_.hidden, eps));
    head_ = place(*this, "lm_head", std::make_shared<Linear>(sizes_.hidden, sizes_.vocabulary, false));
  }

  Tensors forward(const Tensors& inputs) override {
    torch::Tensor x = words_->forward(inputs.at("input_ids"));
    const Positions at = positions(inputs);
    for (std::size_t i = 0; i < layers_.size(); ++i)
      x = recomputed(x.device(), [this, i, x, at] { return transform(i, x, at); });
    const torch::Tensor features = norm_->forward(x);
    return {{"logits", head_->forward(features)}, {"pooled", features}, {"features", features}};
  }
  std::string head_prefix() const override { return "lm_head"; }
  std::vector<AdapterSite> adapter_sites() const override {
    std::vector<AdapterSite> out;
    for (std::size_t i = 0; i < layers_.size(); ++i)
      out.push_back({fmt::format("layer{}", i), sizes_.hidden});
    return out;
  }

  void initialize(const Rng& rng) override { initialize_transformer(*this, rng, deviation_); }
  std::string base_prefix() const override { return "model"; }
  bool ignores(const std::string& name) const override {
    return Model::ignores(name) || name.find("rotary_emb.inv_freq") != std::string::npos;
  }
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override {
    return {{"num_attention_heads", read_sizes(config).heads},
            {"rms_norm_eps", field(config, "rms_norm_eps", 1e-6)},
            {"rope_theta", rope_base(config)},
            {"hidden_act", field<std::string>(config, "hidden_act", "silu")}};
  }

 private:
  Layer make_layer(const std::string& at, double eps) {
    const auto& s = sizes_;
    const auto linear = [&](const std::string& name, std::int64_t in, std::int64_t out, bool bias) {
      return place(*this, at + name, std::make_shared<Linear>(in, out, bias));
    };
    Layer l;
    l.query = linear("self_attn.q_proj", s.hidden, s.heads * s.width, s.attention_bias);
    l.key = linear("self_attn.k_proj", s.hidden, s.groups * s.width, s.attention_bias);
    l.value = linear("self_attn.v_proj", s.hidden, s.groups * s.width, s.attention_bias);
    l.mix = linear("self_attn.o_proj", s.heads * s.width, s.hidden, s.attention_bias);
    l.gate = linear("mlp.gate_proj", s.hidden, s.inner, s.perceptron_bias);
    l.widen = linear("mlp.up_proj", s.hidden, s.inner, s.perceptron_bias);
    l.narrow = linear("mlp.down_proj", s.inner, s.hidden, s.perceptron_bias);
    l.norm_before = place(*this, at + "input_layernorm", std::make_shared<RmsNorm>(s.hidden, eps));
    l.norm_after = place(*this, at + "post_attention_layernorm", std::make_shared<RmsNorm>(s.hidden, eps));
    return l;
  }

  Positions positions(const Tensors& inputs) const {
    const torch::Tensor& ids = inputs.at("input_ids");
    const torch::NoGradGuard no_grad;
    const auto options = torch::TensorOptions().dtype(torch::kFloat).device(ids.device());
    const std::int64_t tokens = ids.size(1);
    const torch::Tensor even = at::arange(0, sizes_.width, 2, options) / static_cast<double>(sizes_.width);
    const torch::Tensor turns = at::outer(at::arange(tokens, options), at::pow(base_, even).reciprocal()),
                        angles = at::cat({turns, turns}, 1);
    torch::Tensor hidden =
        at::ones({tokens, tokens}, options.dtype(torch::kBool)).triu(1).view({1, 1, tokens, tokens});
    if (const auto mask = inputs.find("attention_mask"); mask != inputs.end())
      hidden = hidden | mask->second.eq(0).view({-1, 1, 1, tokens});
    return {angles.cos(), angles.sin(), hidden};
  }

  torch::Tensor transform(std::size_t i, const torch::Tensor& x, const Positions& at) const {
    const Layer& layer = layers_[i];
    const torch::Tensor attended = x + attend(layer, layer.norm_before->forward(x), at);
    const torch::Tensor y = layer.norm_after->forward(attended);
    const torch::Tensor inner =
        layer.narrow->forward(activation_(layer.gate->forward(y)) * layer.widen->forward(y));
    return attended + adapted(fmt::format("layer{}", i), inner);
  }

  // softmax(Q K^T / sqrt(width)) V over heads; a group of heads shares its keys and values.
  torch::Tensor attend(const Layer& layer, const torch::Tensor& x, const Positions& at) const {
    const std::int64_t n = x.size(0), tokens = x.size(1);
    const auto heads = [&](const std::shared_ptr<Linear>& projection, std::int64_t count) {
      return projection->forward(x).view({n, tokens, count, sizes_.width}).transpose(1, 2);
    };
    const auto shared = [&](const torch::Tensor& t) {
      return sizes_.groups == sizes_.heads ? t : t.repeat_interleave(sizes_.heads / sizes_.groups, 1);
    };
    const torch::Tensor q = rotated(heads(layer.query, sizes_.heads), at.cosine, at.sine),
                        k = shared(rotated(heads(layer.key, sizes_.groups), at.cosine, at.sine)),
                        v = shared(heads(layer.value, sizes_.groups));
    const torch::Tensor scores =
        (at::matmul(q, k.transpose(-1, -2)) / std::sqrt(static_cast<double>(sizes_.width))).to(torch::kFloat);
    const torch::Tensor shares =
        at::softmax(scores.masked_fill(at.hidden, std::numeric_limits<float>::lowest()), -1);
    const torch::Tensor mixed = at::matmul(shares.to(v.scalar_type()), v);
    return layer.mix->forward(mixed.transpose(1, 2).reshape({n, tokens, sizes_.heads * sizes_.width}));
  }

  Sizes sizes_;
  Activation activation_;
  double base_, deviation_;
  std::shared_ptr<Embedding> words_;
  std::vector<Layer> layers_;
  std::shared_ptr<RmsNorm> norm_;
  std::shared_ptr<Linear> head_;
};

const RegisterBuilder builder{
    "llama", [](const nlohmann::json& c) -> std::shared_ptr<Model> { return std::make_shared<Llama>(c); }};

#endif

}  // namespace llama
}  // namespace expunge::models
