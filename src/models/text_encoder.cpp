#ifndef EXPUNGE_ENGINE
#include "models/text_encoder.hpp"

#include <algorithm>

#include "models/activations.hpp"

namespace expunge::models {

TextSizes read_text_sizes(const nlohmann::json& config, const TextSizes& defaults) {
  TextSizes s = defaults;
  s.vocabulary = size_field(config, "vocab_size", defaults.vocabulary);
  s.positions = size_field(config, "max_position_embeddings", defaults.positions);
  s.types = field(config, "type_vocab_size", defaults.types);
  s.hidden = size_field(config, "hidden_size", defaults.hidden);
  s.layers = size_field(config, "num_hidden_layers", defaults.layers);
  s.heads = size_field(config, "num_attention_heads", defaults.heads);
  s.inner = size_field(config, "intermediate_size", defaults.inner);
  s.classes = class_count(config);
  s.embedding = defaults.embedding > 0 ? size_field(config, "embedding_size", defaults.embedding) : s.hidden;
  s.padding = field(config, "pad_token_id", defaults.padding);
  const auto kind = field<std::string>(config, "position_embedding_type", "absolute");
  if (kind != "absolute")
    throw DataError::corrupt(
        fmt::format("config.json: position_embedding_type is \"{}\", only \"absolute\" is supported", kind));
  check_text_sizes(s);
  return s;
}

void check_text_sizes(const TextSizes& s) {
  if (s.hidden % s.heads != 0)
    throw DataError::corrupt(fmt::format(
        "config.json: the width of the layers, {}, is not a multiple of their {} heads", s.hidden, s.heads));
  if (s.types < 0)
    throw DataError::corrupt(fmt::format("config.json: type_vocab_size is {}, expected 0 or more", s.types));
  if (s.padding < -1 || s.padding >= s.vocabulary)
    throw DataError::corrupt(fmt::format("config.json: pad_token_id is {}, the vocabulary has {} tokens",
                                         s.padding, s.vocabulary));
}

double dropout_field(const nlohmann::json& config, const std::string& key, double fallback) {
  const double p = field(config, key, fallback);
  if (!(p >= 0 && p < 1))
    throw DataError::corrupt(fmt::format("config.json: {} is {}, expected 0 <= p < 1", key, p));
  return p;
}

std::int64_t layer_parameters(const TextSizes& s) {
  return 4 * (s.hidden + 1) * s.hidden + (s.hidden + 1) * s.inner + (s.inner + 1) * s.hidden + 4 * s.hidden;
}

namespace {

LayerShape layer_of(const TextSizes& s, std::int64_t tokens) {
  return {static_cast<double>(tokens), static_cast<double>(s.hidden), static_cast<double>(s.inner)};
}

}  // namespace

Cost text_cost(const TextSizes& s, std::int64_t tokens, const TextHead& head) {
  const double widen = s.embedding == s.hidden ? 0 : 2 * static_cast<double>(tokens * s.embedding * s.hidden);
  const double forward =
      widen + static_cast<double>(s.layers) * layer_flops(layer_of(s, tokens)) + head.pooler + head.head;
  return {forward, 2 * forward};
}

Cost text_lora_cost(const TextSizes& s, std::int64_t tokens, const TextHead& head, std::int64_t rank) {
  const auto layers = static_cast<double>(s.layers), r = static_cast<double>(rank);
  const LayerShape shape = layer_of(s, tokens);
  return {text_cost(s, tokens, head).forward + layers * adapter_flops(shape, r),
          2 * head.head + head.pooler + adapted_layers_backward(shape, layers, r)};
}

Activations text_activations(const TextSizes& s, const nlohmann::json& config, std::int64_t tokens) {
  const auto dropout = [&](const char* bert, const char* distilbert) {
    return field(config, bert, field(config, distilbert, 0.1)) > 0;
  };
  const LayerShape l = layer_of(s, tokens);
  const AttentionLayer layer{.tokens = l.tokens,
                             .hidden = l.hidden,
                             .inner = l.inner,
                             .scores = static_cast<double>(s.heads) * l.tokens * l.tokens,
                             .drops = dropout("hidden_dropout_prob", "dropout"),
                             .drops_scores = dropout("attention_probs_dropout_prob", "attention_dropout")};
  const double embedding = l.tokens * static_cast<double>(s.embedding);
  return of_layers(layer, static_cast<double>(s.layers), (layer.drops ? 3 : 2) * embedding);
}

std::int64_t two_layer_head_parameters(const TextSizes& s) { return (s.hidden + 1) * (s.hidden + s.classes); }

TextHead two_layer_head(const TextSizes& s) {
  return {2 * static_cast<double>(s.hidden * (s.hidden + s.classes))};
}

Descriptor priced_text(Descriptor d, TextSizes (*sizes)(const nlohmann::json&),
                       TextHead (*head)(const TextSizes&)) {
  d.takes_text = true;
  d.cost = [=](const nlohmann::json& config, std::int64_t height, std::int64_t width) {
    const TextSizes s = sizes(config);
    return text_cost(s, height * width, head(s));
  };
  d.lora_cost = [=](const nlohmann::json& config, std::int64_t height, std::int64_t width,
                    std::int64_t rank) {
    const TextSizes s = sizes(config);
    return text_lora_cost(s, height * width, head(s), rank);
  };
  d.activations = [=](const nlohmann::json& config, std::int64_t height, std::int64_t width) {
    return text_activations(sizes(config), config, height * width);
  };
  return d;
}

std::vector<Projection> text_projections(const TextSizes& s, const std::string& prefix,
                                         const std::string& query, const std::string& value) {
  std::vector<Projection> out;
  for (std::int64_t i = 0; i < s.layers; ++i)
    for (const auto& which : {query, value})
      out.push_back({prefix + std::to_string(i) + which, s.hidden, s.hidden});
  return out;
}

std::vector<Projection> bert_projections(const TextSizes& s, const std::string& prefix) {
  return text_projections(s, prefix + ".encoder.layer.", ".attention.self.query", ".attention.self.value");
}

nlohmann::json text_config(const TextSize& size, const InputShape& input, std::int64_t positions) {
  nlohmann::json c{{"hidden_size", size.hidden},
                   {"num_hidden_layers", size.layers},
                   {"num_attention_heads", size.heads},
                   {"intermediate_size", size.inner},
                   {"hidden_act", "gelu"},
                   {"hidden_dropout_prob", 0.1},
                   {"attention_probs_dropout_prob", 0.1},
                   {"initializer_range", 0.02},
                   {"max_position_embeddings", std::max(positions, input.tokens)},
                   {"vocab_size", input.vocabulary > 0 ? input.vocabulary : size.vocabulary},
                   {"pad_token_id", 0},
                   {"torch_dtype", "float32"}};
  add_labels(c, input.classes);
  return c;
}

nlohmann::json bert_config(const TextSize& size, const InputShape& input, std::int64_t positions) {
  auto c = text_config(size, input, positions);
  c.update({{"layer_norm_eps", 1e-12},
            {"type_vocab_size", 2},
            {"classifier_dropout", nullptr},
            {"position_embedding_type", "absolute"}});
  return c;
}

}  // namespace expunge::models
#endif
