// ALBERT (Lan et al. 2020) as a text classifier, as Hugging Face holds it: narrow embeddings led to the
// layers' width, groups of layers whose weights serve several layers in turn, a pooler. A shared parameter is
// counted once and its gradient is the sum over its uses.
#include <array>

#include "models/text_encoder.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/text_encoder.hpp"
#endif

namespace expunge::models {
namespace albert {

constexpr TextSizes kDefaults{.vocabulary = 30000,
                              .positions = 512,
                              .types = 2,
                              .hidden = 4096,
                              .layers = 12,
                              .heads = 64,
                              .inner = 16384,
                              .classes = 2,
                              .embedding = 128,
                              .padding = 0};

struct Sizes : TextSizes {
  std::int64_t groups, inner_layers;  // groups of so many different layers
  std::int64_t group_of(std::int64_t step) const { return step * groups / layers; }
};

// `layers` is the number of times that a layer is applied.
Sizes read_sizes(const nlohmann::json& config) {
  Sizes s{read_text_sizes(config, kDefaults), size_field(config, "num_hidden_groups", 1),
          size_field(config, "inner_group_num", 1)};
  if (s.groups > s.layers)
    throw DataError::corrupt(
        fmt::format("config.json: {} num_hidden_groups for {} num_hidden_layers", s.groups, s.layers));
  return s;
}

#ifndef EXPUNGE_ENGINE

constexpr std::array<TextSize, 2> kSizes{
    {{"albert-base-v2", 768, 12, 12, 3072, 30000}, {"albert-large-v2", 1024, 24, 16, 4096, 30000}}};

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  auto c = text_config(registered(kSizes, name), input, 512);
  c.update({{"architectures", {"AlbertForSequenceClassification"}},
            {"model_type", "albert"},
            {"embedding_size", 128},
            {"hidden_act", "gelu_new"},
            {"hidden_dropout_prob", 0},
            {"attention_probs_dropout_prob", 0},
            {"classifier_dropout_prob", 0.1},
            {"inner_group_num", 1},
            {"num_hidden_groups", 1},
            {"layer_norm_eps", 1e-12},
            {"type_vocab_size", 2},
            {"position_embedding_type", "absolute"},
            {"bos_token_id", 2},
            {"eos_token_id", 3}});
  return c;
}

std::int64_t head_parameters(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  return (s.hidden + 1) * s.classes;
}

std::int64_t parameters(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  const std::int64_t d = s.hidden, embeddings = (s.vocabulary + s.positions + s.types + 2) * s.embedding;
  return embeddings + (s.embedding + 1) * d + s.groups * s.inner_layers * layer_parameters(s) + (d + 1) * d +
         head_parameters(config);
}

// As many layers as are applied. Albert leads to its layers by a matrix even where the widths are equal.
struct Applied {
  TextSizes sizes;
  TextHead head;
};
Applied applied(const nlohmann::json& config, std::int64_t tokens) {
  const Sizes s = read_sizes(config);
  Applied out{s,
              {2 * static_cast<double>(s.hidden * s.classes), 2 * static_cast<double>(s.hidden * s.hidden)}};
  out.sizes.layers = s.layers * s.inner_layers;
  if (s.embedding == s.hidden) out.head.pooler += 2 * static_cast<double>(tokens * s.hidden * s.hidden);
  return out;
}

std::vector<Projection> projections(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  std::vector<Projection> out;
  for (std::int64_t g = 0; g < s.groups; ++g)
    for (std::int64_t i = 0; i < s.inner_layers; ++i)
      for (const char* which : {"query", "value"})
        out.push_back(
            {fmt::format("albert.encoder.albert_layer_groups.{}.albert_layers.{}.attention.{}", g, i, which),
             s.hidden, s.hidden});
  return out;
}

const RegisterDescriptor entry{
    {.family = "albert",
     .model_type = "albert",
     .summary = "ALBERT: text classifier with shared layers",
     .source = "Lan et al., ICLR 2020",
     .names = names_of(kSizes),
     .config = make_config,
     .parameters = parameters,
     .cost =
         [](const nlohmann::json& config, std::int64_t height, std::int64_t width) {
           const Applied a = applied(config, height * width);
           return text_cost(a.sizes, height * width, a.head);
         },
     .takes_text = true,
     .head = {"classifier."},
     .projections = projections,
     .lora_cost =
         [](const nlohmann::json& config, std::int64_t height, std::int64_t width, std::int64_t rank) {
           const Applied a = applied(config, height * width);
           return text_lora_cost(a.sizes, height * width, a.head, rank);
         },
     .head_parameters = head_parameters,
     .activations =
         [](const nlohmann::json& config, std::int64_t height, std::int64_t width) {
           auto complete = config;  // the defaults of its dropouts
           for (const char* key : {"hidden_dropout_prob", "attention_probs_dropout_prob"})
             complete[key] = field(config, key, 0.0);
           return text_activations(applied(config, height * width).sizes, complete, height * width);
         }}};

#else

const LayerNames kNames{"attention.query",     "attention.key", "attention.value", "attention.dense",
                        "attention.LayerNorm", "ffn",           "ffn_output",      "full_layer_layer_norm"};

class Albert : public TextEncoder {
 public:
  explicit Albert(const nlohmann::json& config)
      : TextEncoder(config, read_sizes(config), "albert", field(config, "layer_norm_eps", 1e-12)) {
    const Sizes s = read_sizes(config);
    activation_ = activation_of(config, "hidden_act", "gelu_new");
    dropouts_.hidden = dropouts_.mixed = dropout_field(config, "hidden_dropout_prob", 0);
    dropouts_.attention = dropout_field(config, "attention_probs_dropout_prob", 0);
    dropouts_.output = 0;
    dropouts_.head = dropout_field(config, "classifier_dropout_prob", 0.1);
    place_embeddings();
    widen_ = place_linear("albert.encoder.embedding_hidden_mapping_in", s.embedding, s.hidden);
    std::vector<TextLayer> different;
    for (std::int64_t g = 0; g < s.groups; ++g)
      for (std::int64_t i = 0; i < s.inner_layers; ++i)
        different.push_back(place_layer(
            fmt::format("albert.encoder.albert_layer_groups.{}.albert_layers.{}.", g, i), kNames));
    for (std::int64_t step = 0; step < s.layers; ++step)
      for (std::int64_t i = 0; i < s.inner_layers; ++i)
        layers_.push_back(different[static_cast<std::size_t>(s.group_of(step) * s.inner_layers + i)]);
    pooler_ = place_linear("albert.pooler", s.hidden, s.hidden);
    classifier_ = place_linear("classifier", s.hidden, s.classes);
  }
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override {
    const Sizes s = read_sizes(config);
    return {{"num_attention_heads", s.heads},
            {"num_hidden_layers", s.layers},  // the weights are the same for any number
            {"layer_norm_eps", field(config, "layer_norm_eps", 1e-12)},
            {"hidden_act", field<std::string>(config, "hidden_act", "gelu_new")}};
  }

 protected:
  torch::Tensor pool(const torch::Tensor& first) const override {
    return drop(at::tanh(pooler_->forward(first)), dropouts_.head);
  }

 private:
  std::shared_ptr<Linear> pooler_;
};

const RegisterBuilder builder{"albert", build_as<Albert>};

#endif

}  // namespace albert
}  // namespace expunge::models
