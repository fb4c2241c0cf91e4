// DistilBERT (Sanh et al. 2019) as a text classifier, as Hugging Face holds it: six of BERT's layers under
// other names, no token types, no pooler, a head of two layers with ReLU on the first token.
#include <array>

#include "models/text_encoder.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/text_encoder.hpp"
#endif

namespace expunge::models {
namespace distilbert {

TextSizes read_sizes(const nlohmann::json& config) {
  TextSizes s{.vocabulary = size_field(config, "vocab_size", 30522),
              .positions = size_field(config, "max_position_embeddings", 512),
              .types = 0,
              .hidden = size_field(config, "dim", 768),
              .layers = size_field(config, "n_layers", 6),
              .heads = size_field(config, "n_heads", 12),
              .inner = size_field(config, "hidden_dim", 3072),
              .classes = class_count(config),
              .embedding = 0,
              .padding = field(config, "pad_token_id", std::int64_t{0})};
  s.embedding = s.hidden;
  if (field(config, "sinusoidal_pos_embds", false))
    throw DataError::corrupt(
        "config.json: sinusoidal_pos_embds is true; only learned positions are supported");
  check_text_sizes(s);
  return s;
}

#ifndef EXPUNGE_ENGINE

constexpr std::array<TextSize, 1> kSizes{{{"distilbert-base-uncased", 768, 6, 12, 3072, 30522}}};

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  const TextSize& size = registered(kSizes, name);
  const auto shared = text_config(size, input, 512);
  nlohmann::json c{{"architectures", {"DistilBertForSequenceClassification"}},
                   {"model_type", "distilbert"},
                   {"activation", "gelu"},
                   {"attention_dropout", 0.1},
                   {"dim", size.hidden},
                   {"dropout", 0.1},
                   {"hidden_dim", size.inner},
                   {"n_heads", size.heads},
                   {"n_layers", size.layers},
                   {"qa_dropout", 0.1},
                   {"seq_classif_dropout", 0.2},
                   {"sinusoidal_pos_embds", false},
                   {"tie_weights_", true}};
  for (const char* key : {"initializer_range", "max_position_embeddings", "vocab_size", "pad_token_id",
                          "torch_dtype", "id2label", "label2id"})
    c[key] = shared.at(key);
  return c;
}

std::int64_t head_parameters(const nlohmann::json& config) {
  return two_layer_head_parameters(read_sizes(config));
}

std::int64_t parameters(const nlohmann::json& config) {
  const TextSizes s = read_sizes(config);
  return (s.vocabulary + s.positions + 2) * s.hidden + s.layers * layer_parameters(s) +
         head_parameters(config);
}

const RegisterDescriptor entry{priced_text({.family = "distilbert",
                                            .model_type = "distilbert",
                                            .summary = "DistilBERT: text classifier",
                                            .source = "Sanh et al. 2019, arXiv:1910.01108",
                                            .names = names_of(kSizes),
                                            .config = make_config,
                                            .parameters = parameters,
                                            .head = {"pre_classifier.", "classifier."},
                                            .projections =
                                                [](const nlohmann::json& config) {
                                                  return text_projections(
                                                      read_sizes(config), "distilbert.transformer.layer.",
                                                      ".attention.q_lin", ".attention.v_lin");
                                                },
                                            .head_parameters = head_parameters},
                                           read_sizes, two_layer_head)};

#else

const LayerNames kNames{"attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
                        "sa_layer_norm",   "ffn.lin1",        "ffn.lin2",        "output_layer_norm"};

class DistilBert : public TextEncoder {
 public:
  explicit DistilBert(const nlohmann::json& config)
      : TextEncoder(config, read_sizes(config), "distilbert", 1e-12) {
    activation_ = activation_of(config, "activation", "gelu");
    // Its attention's projection has no dropout of its own.
    dropouts_.hidden = dropouts_.output = dropout_field(config, "dropout", 0.1);
    dropouts_.attention = dropout_field(config, "attention_dropout", 0.1);
    dropouts_.head = dropout_field(config, "seq_classif_dropout", 0.2);
    dropouts_.mixed = 0;
    place_embeddings();
    for (std::int64_t i = 0; i < sizes_.layers; ++i)
      layers_.push_back(place_layer(fmt::format("distilbert.transformer.layer.{}.", i), kNames));
    dense_ = place_linear("pre_classifier", sizes_.hidden, sizes_.hidden);
    classifier_ = place_linear("classifier", sizes_.hidden, sizes_.classes);
  }
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override {
    return {{"n_heads", read_sizes(config).heads},
            {"activation", field<std::string>(config, "activation", "gelu")}};
  }

 protected:
  torch::Tensor pool(const torch::Tensor& first) const override {
    return drop(at::relu(dense_->forward(first)), dropouts_.head);
  }

 private:
  std::shared_ptr<Linear> dense_;
};

const RegisterBuilder builder{"distilbert", build_as<DistilBert>};

#endif

}  // namespace distilbert
}  // namespace expunge::models
