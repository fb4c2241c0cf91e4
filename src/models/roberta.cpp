// RoBERTa (Liu et al. 2019) as a text classifier, as Hugging Face holds it: BERT's body, positions counted
// from the padding's id on, a head of two layers with tanh on the first token.
#include <array>

#include "models/text_encoder.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/text_encoder.hpp"
#endif

namespace expunge::models {
namespace roberta {

constexpr TextSizes kDefaults{.vocabulary = 50265,
                              .positions = 512,
                              .types = 2,
                              .hidden = 768,
                              .layers = 12,
                              .heads = 12,
                              .inner = 3072,
                              .classes = 2,
                              .embedding = 0,
                              .padding = 1};

TextSizes read_sizes(const nlohmann::json& config) {
  const TextSizes s = read_text_sizes(config, kDefaults);
  if (s.padding < 0 || s.positions <= s.padding + 1)
    throw DataError::corrupt(
        fmt::format("config.json: {} max_position_embeddings, the first token's position is pad_token_id + 1 "
                    "= {}",
                    s.positions, s.padding + 1));
  return s;
}

#ifndef EXPUNGE_ENGINE

constexpr std::array<TextSize, 2> kSizes{
    {{"roberta-base", 768, 12, 12, 3072, 50265}, {"roberta-large", 1024, 24, 16, 4096, 50265}}};

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  InputShape longer = input;
  longer.tokens += 2;  // positions begin at 2
  auto c = bert_config(registered(kSizes, name), longer, 514);
  c.update({{"architectures", {"RobertaForSequenceClassification"}},
            {"model_type", "roberta"},
            {"layer_norm_eps", 1e-5},
            {"type_vocab_size", 1},
            {"bos_token_id", 0},
            {"pad_token_id", 1},
            {"eos_token_id", 2}});
  return c;
}

std::int64_t head_parameters(const nlohmann::json& config) {
  return two_layer_head_parameters(read_sizes(config));
}

std::int64_t parameters(const nlohmann::json& config) {
  const TextSizes s = read_sizes(config);
  return (s.vocabulary + s.positions + s.types + 2) * s.hidden + s.layers * layer_parameters(s) +
         head_parameters(config);
}

const RegisterDescriptor entry{priced_text(
    {.family = "roberta",
     .model_type = "roberta",
     .summary = "RoBERTa: text classifier",
     .source = "Liu et al. 2019, arXiv:1907.11692",
     .names = names_of(kSizes),
     .config = make_config,
     .parameters = parameters,
     .head = {"classifier."},
     .projections =
         [](const nlohmann::json& config) { return bert_projections(read_sizes(config), "roberta"); },
     .head_parameters = head_parameters},
    read_sizes, two_layer_head)};

#else

class Roberta : public TextEncoder {
 public:
  explicit Roberta(const nlohmann::json& config)
      : TextEncoder(config, read_sizes(config), "roberta", field(config, "layer_norm_eps", 1e-12)) {
    dropouts_.head = dropout_field(config, "classifier_dropout", dropouts_.hidden);
    place_embeddings(sizes_.padding);
    for (std::int64_t i = 0; i < sizes_.layers; ++i)
      layers_.push_back(place_layer(fmt::format("roberta.encoder.layer.{}.", i), kBertNames));
    dense_ = place_linear("classifier.dense", sizes_.hidden, sizes_.hidden);
    classifier_ = place_linear("classifier.out_proj", sizes_.hidden, sizes_.classes);
  }
  std::string head_prefix() const override { return "classifier.out_proj"; }
  bool ignores(const std::string& name) const override {
    return TextEncoder::ignores(name) || name.rfind("roberta.pooler.", 0) == 0 ||
           name.rfind("pooler.", 0) == 0;
  }
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override {
    auto settings = TextEncoder::shapeless_settings(config);
    settings["pad_token_id"] = read_sizes(config).padding;
    return settings;
  }

 protected:
  // The k-th token, from 0, has position k + 1 + padding; padding has the padding's id.
  torch::Tensor position_ids(const torch::Tensor& ids) const override {
    const std::int64_t longest = sizes_.positions - sizes_.padding - 1;
    EXPUNGE_CHECK(ids.size(1) <= longest, "a text of {} tokens, the model has {} positions", ids.size(1),
                  longest);
    const torch::Tensor real = ids.ne(sizes_.padding).to(torch::kLong);
    return at::cumsum(real, 1) * real + sizes_.padding;
  }
  torch::Tensor pool(const torch::Tensor& first) const override {
    return drop(at::tanh(dense_->forward(drop(first, dropouts_.head))), dropouts_.head);
  }

 private:
  std::shared_ptr<Linear> dense_;
};

const RegisterBuilder builder{"roberta", build_as<Roberta>};

#endif

}  // namespace roberta
}  // namespace expunge::models
