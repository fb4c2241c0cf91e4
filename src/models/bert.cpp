// BERT (Devlin et al. 2019) with a classifier on the pooled first token, as Hugging Face holds it. BioBERT
// and PubMedBERT are the same network with other vocabularies.
#include <array>

#include "models/text_encoder.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/text_encoder.hpp"
#endif

namespace expunge::models {
namespace bert {

constexpr TextSizes kDefaults{.vocabulary = 30522,
                              .positions = 512,
                              .types = 2,
                              .hidden = 768,
                              .layers = 12,
                              .heads = 12,
                              .inner = 3072,
                              .classes = 2,
                              .embedding = 0,
                              .padding = 0};

TextSizes read_sizes(const nlohmann::json& config) { return read_text_sizes(config, kDefaults); }

#ifndef EXPUNGE_ENGINE

// The small ones: Turc et al. 2019.
constexpr std::array<TextSize, 8> kSizes{{{"bert-tiny", 128, 2, 2, 512, 30522},
                                          {"bert-mini", 256, 4, 4, 1024, 30522},
                                          {"bert-small", 512, 4, 8, 2048, 30522},
                                          {"bert-base-uncased", 768, 12, 12, 3072, 30522},
                                          {"bert-large-uncased", 1024, 24, 16, 4096, 30522},
                                          {"biobert", 768, 12, 12, 3072, 28996},
                                          {"pubmedbert-abstract", 768, 12, 12, 3072, 30522},
                                          {"pubmedbert", 768, 12, 12, 3072, 30522}}};

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  auto c = bert_config(registered(kSizes, name), input, 512);
  c.update({{"architectures", {"BertForSequenceClassification"}}, {"model_type", "bert"}});
  return c;
}

std::int64_t head_parameters(const nlohmann::json& config) {
  const TextSizes s = read_sizes(config);
  return (s.hidden + 1) * s.classes;
}

std::int64_t parameters(const nlohmann::json& config) {
  const TextSizes s = read_sizes(config);
  const std::int64_t d = s.hidden, embeddings = (s.vocabulary + s.positions + s.types + 2) * d;
  return embeddings + s.layers * layer_parameters(s) + (d + 1) * d + head_parameters(config);
}

TextHead head_of(const TextSizes& s) {
  return {2 * static_cast<double>(s.hidden * s.classes), 2 * static_cast<double>(s.hidden * s.hidden)};
}

const RegisterDescriptor entry{priced_text(
    {.family = "bert",
     .model_type = "bert",
     .summary = "BERT, BioBERT, PubMedBERT: text classifiers",
     .source = "Devlin et al., NAACL 2019",
     .names = names_of(kSizes),
     .config = make_config,
     .parameters = parameters,
     .head = {"classifier."},
     .projections = [](const nlohmann::json& config) { return bert_projections(read_sizes(config), "bert"); },
     .head_parameters = head_parameters},
    read_sizes, head_of)};

#else

class Bert : public TextEncoder {
 public:
  explicit Bert(const nlohmann::json& config)
      : TextEncoder(config, read_sizes(config), "bert", field(config, "layer_norm_eps", 1e-12)) {
    dropouts_.head = dropout_field(config, "classifier_dropout", dropouts_.hidden);
    place_embeddings();
    for (std::int64_t i = 0; i < sizes_.layers; ++i)
      layers_.push_back(place_layer(fmt::format("bert.encoder.layer.{}.", i), kBertNames));
    pooler_ = place_linear("bert.pooler.dense", sizes_.hidden, sizes_.hidden);
    classifier_ = place_linear("classifier", sizes_.hidden, sizes_.classes);
  }

 protected:
  torch::Tensor pool(const torch::Tensor& first) const override {
    return drop(at::tanh(pooler_->forward(first)), dropouts_.head);
  }

 private:
  std::shared_ptr<Linear> pooler_;
};

const RegisterBuilder builder{"bert", build_as<Bert>};

#endif

}  // namespace bert
}  // namespace expunge::models
