// ELECTRA's discriminator (Clark et al. 2020) as a text classifier, as Hugging Face holds it: BERT's body
// without a pooler, a head of two layers with gelu on the first token. Embeddings may be narrower than the
// layers.
#include <array>

#include "models/text_encoder.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/text_encoder.hpp"
#endif

namespace expunge::models {
namespace electra {

constexpr TextSizes kDefaults{.vocabulary = 30522,
                              .positions = 512,
                              .types = 2,
                              .hidden = 256,
                              .layers = 12,
                              .heads = 4,
                              .inner = 1024,
                              .classes = 2,
                              .embedding = 128,
                              .padding = 0};

TextSizes read_sizes(const nlohmann::json& config) { return read_text_sizes(config, kDefaults); }

#ifndef EXPUNGE_ENGINE

constexpr std::array<TextSize, 3> kSizes{{{"electra-small", 256, 12, 4, 1024, 30522},
                                          {"electra-base", 768, 12, 12, 3072, 30522},
                                          {"electra-large", 1024, 24, 16, 4096, 30522}}};

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  const TextSize& size = registered(kSizes, name);
  auto c = bert_config(size, input, 512);
  c.update({{"architectures", {"ElectraForSequenceClassification"}},
            {"model_type", "electra"},
            {"embedding_size", size.hidden == 256 ? 128 : size.hidden}});
  return c;
}

std::int64_t head_parameters(const nlohmann::json& config) {
  return two_layer_head_parameters(read_sizes(config));
}

std::int64_t parameters(const nlohmann::json& config) {
  const TextSizes s = read_sizes(config);
  const std::int64_t widen = s.embedding == s.hidden ? 0 : (s.embedding + 1) * s.hidden,
                     embeddings = (s.vocabulary + s.positions + s.types + 2) * s.embedding;
  return embeddings + widen + s.layers * layer_parameters(s) + head_parameters(config);
}

const RegisterDescriptor entry{priced_text(
    {.family = "electra",
     .model_type = "electra",
     .summary = "ELECTRA discriminator: text classifier",
     .source = "Clark et al., ICLR 2020",
     .names = names_of(kSizes),
     .config = make_config,
     .parameters = parameters,
     .head = {"classifier."},
     .projections =
         [](const nlohmann::json& config) { return bert_projections(read_sizes(config), "electra"); },
     .head_parameters = head_parameters},
    read_sizes, two_layer_head)};

#else

class Electra : public TextEncoder {
 public:
  explicit Electra(const nlohmann::json& config)
      : TextEncoder(config, read_sizes(config), "electra", field(config, "layer_norm_eps", 1e-12)) {
    dropouts_.head = dropout_field(config, "classifier_dropout", dropouts_.hidden);
    place_embeddings();
    if (sizes_.embedding != sizes_.hidden)
      widen_ = place_linear("electra.embeddings_project", sizes_.embedding, sizes_.hidden);
    for (std::int64_t i = 0; i < sizes_.layers; ++i)
      layers_.push_back(place_layer(fmt::format("electra.encoder.layer.{}.", i), kBertNames));
    dense_ = place_linear("classifier.dense", sizes_.hidden, sizes_.hidden);
    classifier_ = place_linear("classifier.out_proj", sizes_.hidden, sizes_.classes);
  }
  std::string head_prefix() const override { return "classifier.out_proj"; }
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override {
    auto settings = TextEncoder::shapeless_settings(config);
    settings["num_attention_heads"] = read_sizes(config).heads;
    return settings;
  }

 protected:
  torch::Tensor pool(const torch::Tensor& first) const override {
    return drop(at::gelu(dense_->forward(drop(first, dropouts_.head))), dropouts_.head);
  }

 private:
  std::shared_ptr<Linear> dense_;
};

const RegisterBuilder builder{"electra", build_as<Electra>};

#endif

}  // namespace electra
}  // namespace expunge::models
