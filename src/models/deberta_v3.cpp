// DeBERTa-v3 (He et al. 2021, 2023) as a text classifier, as Hugging Face holds it ("deberta-v2"): no
// absolute positions; content and relative position attend to each other through shared projections; a
// pooler with gelu on the first token.
#include <algorithm>
#include <array>

#include "models/text_encoder.hpp"
#ifdef EXPUNGE_ENGINE
#include <cmath>
#include <limits>

#include "models/torch/attention.hpp"
#include "models/torch/recompute.hpp"
#include "models/torch/text_encoder.hpp"
#endif

namespace expunge::models {
namespace deberta_v3 {

struct Sizes : TextSizes {
  std::int64_t reach;    // longest distance told apart
  std::int64_t buckets;  // of distances on each side; 0: as many as `reach`
  bool biased_input;     // absolute positions among the embeddings
  bool content_to_position, position_to_content;
  std::int64_t span() const { return buckets > 0 ? buckets : reach; }
  double terms() const { return 1.0 + content_to_position + position_to_content; }
};

bool listed(const nlohmann::json& config, const char* key, const char* word) {
  const auto found = config.find(key);  // a list, or words joined by "|"
  if (found == config.end()) return false;
  return (found->is_array() ? found->dump() : field<std::string>(config, key, "")).find(word) !=
         std::string::npos;
}

Sizes read_sizes(const nlohmann::json& config) {
  constexpr TextSizes defaults{.vocabulary = 128100,
                               .positions = 512,
                               .types = 0,
                               .hidden = 1536,
                               .layers = 24,
                               .heads = 24,
                               .inner = 6144,
                               .classes = 2,
                               .embedding = 0,
                               .padding = 0};
  Sizes s{};
  static_cast<TextSizes&>(s) = read_text_sizes(config, defaults);
  s.embedding = size_field(config, "embedding_size", s.hidden);
  s.reach = field(config, "max_relative_positions", std::int64_t{-1});
  if (s.reach < 1) s.reach = s.positions;
  s.buckets = std::max<std::int64_t>(0, field(config, "position_buckets", std::int64_t{-1}));
  s.biased_input = field(config, "position_biased_input", true);
  s.content_to_position = listed(config, "pos_att_type", "c2p");
  s.position_to_content = listed(config, "pos_att_type", "p2c");
  if (!s.biased_input) s.positions = 0;
  if (!field(config, "relative_attention", false) || !field(config, "share_att_key", false))
    throw DataError::corrupt(
        "config.json: relative_attention and share_att_key must be true, as DeBERTa-v3 has them");
  if (field(config, "conv_kernel_size", 0) > 0)
    throw DataError::corrupt("config.json: conv_kernel_size > 0 is DeBERTa-v2's, only v3 is supported");
  if (s.embedding != s.hidden)
    throw DataError::corrupt(
        fmt::format("config.json: embedding_size {} differs from hidden_size {}; "
                    "DeBERTa-v3 has them equal",
                    s.embedding, s.hidden));
  if (s.buckets == 1 || s.reach < 2)
    throw DataError::corrupt("config.json: position_buckets and max_relative_positions must be above 1");
  return s;
}

#ifndef EXPUNGE_ENGINE

constexpr std::array<TextSize, 4> kSizes{{{"deberta-v3-xsmall", 384, 12, 6, 1536, 128100},
                                          {"deberta-v3-small", 768, 6, 12, 3072, 128100},
                                          {"deberta-v3-base", 768, 12, 12, 3072, 128100},
                                          {"deberta-v3-large", 1024, 24, 16, 4096, 128100}}};

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  const TextSize& size = registered(kSizes, name);
  auto c = text_config(size, input, 512);
  c.update({{"architectures", {"DebertaV2ForSequenceClassification"}},
            {"model_type", "deberta-v2"},
            {"layer_norm_eps", 1e-7},
            {"max_relative_positions", -1},
            {"norm_rel_ebd", "layer_norm"},
            {"pooler_dropout", 0},
            {"pooler_hidden_act", "gelu"},
            {"pooler_hidden_size", size.hidden},
            {"pos_att_type", {"p2c", "c2p"}},
            {"position_biased_input", false},
            {"position_buckets", 256},
            {"relative_attention", true},
            {"share_att_key", true},
            {"type_vocab_size", 0}});
  return c;
}

std::int64_t head_parameters(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  return (s.hidden + 1) * (s.hidden + s.classes);
}

std::int64_t parameters(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  const bool norm = listed(config, "norm_rel_ebd", "layer_norm");
  return (s.vocabulary + s.positions + s.types + 2 + 2 * s.span() + (norm ? 2 : 0)) * s.hidden +
         s.layers * layer_parameters(s) + head_parameters(config);
}

TextHead head_of(const Sizes& s) { return {2 * static_cast<double>(s.hidden * (s.hidden + s.classes))}; }

// What relative positions add to each layer: the table's projections, once a grain, which is priced as if
// each sample had one of its own, and products of tokens with positions.
struct Relative {
  double projection, product, terms;
};
Relative relative_of(const Sizes& s, std::int64_t tokens) {
  const auto d = static_cast<double>(s.hidden), rows = static_cast<double>(2 * s.span());
  return {2 * rows * d * d, 2 * static_cast<double>(tokens) * rows * d, s.terms() - 1};
}

Cost cost(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Sizes s = read_sizes(config);
  const Relative r = relative_of(s, height * width);
  const double forward = text_cost(s, height * width, head_of(s)).forward +
                         static_cast<double>(s.layers) * r.terms * (r.projection + r.product);
  return {forward, 2 * forward};
}

Cost lora_cost(const nlohmann::json& config, std::int64_t height, std::int64_t width, std::int64_t rank) {
  const Sizes s = read_sizes(config);
  const Relative r = relative_of(s, height * width);
  const Cost plain = text_lora_cost(s, height * width, head_of(s), rank);
  const auto layers = static_cast<double>(s.layers);
  // The query's adapters lie beside the table's projection, too; the table itself is not trained.
  const double c2p = s.content_to_position, p2c = s.position_to_content;
  const double adapters = p2c * 8 * static_cast<double>(s.span() * rank * s.hidden);
  // c2p: a gradient of the query; p2c: of the table's query, and above the lowest layer of the key.
  const double backward =
      (c2p + p2c) * r.product * layers + p2c * r.product * (layers - 1) + layers * 1.5 * adapters;
  return {plain.forward + layers * (r.terms * (r.projection + r.product) + adapters),
          plain.backward + backward};
}

// Queries and keys are multiplied twice; the products with positions are read where distances say.
Activations activations(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Sizes s = read_sizes(config);
  const std::int64_t tokens = height * width;
  Activations out = text_activations(s, config, tokens);
  const auto wide = static_cast<double>(tokens * s.hidden), terms = s.terms() - 1;
  out.kept += static_cast<double>(s.layers) * terms * wide;
  out.recomputed += terms * wide;
  out.moving += terms * static_cast<double>(s.heads * tokens * (2 * s.span() + tokens));
  return out;
}

const RegisterDescriptor entry{{.family = "deberta_v3",
                                .model_type = "deberta-v2",
                                .summary = "DeBERTa-v3: text classifier with relative positions",
                                .source = "He et al., ICLR 2023",
                                .names = names_of(kSizes),
                                .config = make_config,
                                .parameters = parameters,
                                .cost = cost,
                                .takes_text = true,
                                .head = {"pooler.", "classifier."},
                                .projections =
                                    [](const nlohmann::json& config) {
                                      return text_projections(read_sizes(config), "deberta.encoder.layer.",
                                                              ".attention.self.query_proj",
                                                              ".attention.self.value_proj");
                                    },
                                .lora_cost = lora_cost,
                                .head_parameters = head_parameters,
                                .activations = activations}};

#else

const LayerNames kNames{"attention.self.query_proj",
                        "attention.self.key_proj",
                        "attention.self.value_proj",
                        "attention.output.dense",
                        "attention.output.LayerNorm",
                        "intermediate.dense",
                        "output.dense",
                        "output.LayerNorm"};

class DebertaV3 : public TextEncoder {
 public:
  explicit DebertaV3(const nlohmann::json& config)
      : TextEncoder(config, read_sizes(config), "deberta", field(config, "layer_norm_eps", 1e-7)),
        relative_(read_sizes(config)),
        pooler_activation_(activation_of(config, "pooler_hidden_act", "gelu")),
        pooler_dropout_(dropout_field(config, "pooler_dropout", 0)) {
    const std::int64_t d = sizes_.hidden;
    dropouts_.head = dropout_field(config, "cls_dropout", dropouts_.hidden);
    place_embeddings();
    for (std::int64_t i = 0; i < sizes_.layers; ++i)
      layers_.push_back(place_layer(fmt::format("deberta.encoder.layer.{}.", i), kNames));
    table_ =
        place(*this, "deberta.encoder.rel_embeddings", std::make_shared<Embedding>(2 * relative_.span(), d));
    if (listed(config, "norm_rel_ebd", "layer_norm"))
      table_norm_ = place(*this, "deberta.encoder.LayerNorm", std::make_shared<LayerNorm>(d, eps_));
    pooler_ = place_linear("pooler.dense", d, d);
    classifier_ = place_linear("classifier", d, sizes_.classes);
  }
  bool has_dropout() const override { return TextEncoder::has_dropout() || pooler_dropout_ > 0; }
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override {
    const Sizes s = read_sizes(config);
    return {{"num_attention_heads", s.heads},
            {"max_relative_positions", s.reach},
            {"pos_att_type", {s.content_to_position, s.position_to_content}},
            {"layer_norm_eps", field(config, "layer_norm_eps", 1e-7)},
            {"hidden_act", field<std::string>(config, "hidden_act", "gelu")},
            {"pooler_hidden_act", field<std::string>(config, "pooler_hidden_act", "gelu")}};
  }

 protected:
  torch::Tensor embed(const Tensors& inputs) const override {
    const torch::Tensor& ids = inputs.at("input_ids");
    torch::Tensor x = words_->forward(ids);
    if (positions_) x = x + positions_->forward(position_ids(ids));
    if (const auto types = inputs.find("token_type_ids"); types_ && types != inputs.end())
      x = x + types_->forward(types->second);
    else if (types_)
      x = x + types_->forward(at::zeros_like(ids));
    x = embedding_norm_->forward(x);
    if (const auto mask = inputs.find("attention_mask"); mask != inputs.end())
      x = x * mask->second.to(x.scalar_type()).unsqueeze(2);
    return drop(x, dropouts_.hidden);
  }

  torch::Tensor encode(torch::Tensor x, const torch::Tensor& mask) const override {
    const torch::Tensor table = table_norm_ ? table_norm_->forward(table_->weight) : table_->weight;
    const std::int64_t span = relative_.span(), tokens = x.size(1);
    const torch::Tensor distance =
        bucketed_distances(tokens, relative_.buckets, relative_.reach).to(x.device());
    const auto index = [&](const torch::Tensor& d) {  // rows of the table
      return (d + span).clamp(0, 2 * span - 1).expand({x.size(0), sizes_.heads, tokens, tokens});
    };
    Geometry g{table, index(distance), index(-distance), {}};
    if (mask.defined()) {
      const torch::Tensor real = mask.to(torch::kBool);
      g.hidden = (real.unsqueeze(1) & real.unsqueeze(2)).logical_not().unsqueeze(1);
    }
    for (std::size_t i = 0; i < layers_.size(); ++i)
      x = recomputed(x.device(), [this, i, x, g] { return finish_layer(i, x, attend(layers_[i], x, g)); });
    return x;
  }

  torch::Tensor pool(const torch::Tensor& first) const override {
    return drop(pooler_activation_(pooler_->forward(drop(first, pooler_dropout_))), dropouts_.head);
  }

 private:
  struct Geometry {
    torch::Tensor table;                    // [2 * span, hidden]
    torch::Tensor to_position, to_content;  // [n, heads, tokens, tokens] rows of the table
    torch::Tensor hidden;                   // [n, 1, tokens, tokens]: query or key is padding
  };

  torch::Tensor attend(const TextLayer& layer, const torch::Tensor& x, const Geometry& g) const {
    const torch::Tensor q = split_heads(layer.query->forward(x), sizes_.heads),
                        k = split_heads(layer.key->forward(x), sizes_.heads),
                        v = split_heads(layer.value->forward(x), sizes_.heads);
    const torch::Tensor table = drop(g.table, dropouts_.hidden).unsqueeze(0);
    const auto positions = [&](const std::shared_ptr<Linear>& projection) {  // [heads, width, 2 * span]
      return split_heads(projection->forward(table, true), sizes_.heads)[0].transpose(1, 2);
    };
    torch::Tensor scores = at::matmul(q, k.transpose(-1, -2));
    if (relative_.content_to_position)
      scores = scores + at::gather(at::matmul(q, positions(layer.key)), 3, g.to_position);
    if (relative_.position_to_content)
      scores = scores + at::gather(at::matmul(k, positions(layer.query)), 3, g.to_content).transpose(-1, -2);
    scores = scores / std::sqrt(static_cast<double>(q.size(3)) * relative_.terms());
    torch::Tensor weights;
    if (g.hidden.defined()) {
      const double lowest = scores.scalar_type() == torch::kDouble ? std::numeric_limits<double>::lowest()
                                                                   : std::numeric_limits<float>::lowest();
      weights = at::softmax(scores.to(scores.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat)
                                .masked_fill(g.hidden, lowest),
                            -1)
                    .masked_fill(g.hidden, 0);
    } else {
      weights = at::softmax(scores, -1);
    }
    return join_heads(at::matmul(drop(weights, dropouts_.attention), v));
  }

  Sizes relative_;
  Activation pooler_activation_;
  double pooler_dropout_;
  std::shared_ptr<Embedding> table_;
  std::shared_ptr<LayerNorm> table_norm_;
  std::shared_ptr<Linear> pooler_;
};

const RegisterBuilder builder{"deberta-v2", build_as<DebertaV3>};

#endif

}  // namespace deberta_v3
}  // namespace expunge::models
