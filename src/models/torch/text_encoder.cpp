#include "models/torch/text_encoder.hpp"

#include "models/torch/attention.hpp"
#include "models/torch/recompute.hpp"
#include "models/torch/recorder.hpp"

namespace expunge::models {

const LayerNames kBertNames{
    "attention.self.query",       "attention.self.key", "attention.self.value", "attention.output.dense",
    "attention.output.LayerNorm", "intermediate.dense", "output.dense",         "output.LayerNorm"};

TextEncoder::TextEncoder(const nlohmann::json& config, const TextSizes& sizes, std::string prefix, double eps)
    : Model(config),
      sizes_(sizes),
      prefix_(std::move(prefix)),
      eps_(eps),
      deviation_(field(config, "initializer_range", 0.02)),
      activation_(activation_of(config, "hidden_act", "gelu")) {
  dropouts_.hidden = dropouts_.mixed = dropouts_.output = dropout_field(config, "hidden_dropout_prob", 0.1);
  dropouts_.attention = dropout_field(config, "attention_probs_dropout_prob", 0.1);
  dropouts_.head = dropouts_.hidden;
}

void TextEncoder::place_embeddings(std::int64_t padded_position) {
  const std::string at = prefix_ + ".embeddings.";
  const std::int64_t width = sizes_.embedding;
  words_ = place(*this, at + "word_embeddings",
                 std::make_shared<Embedding>(sizes_.vocabulary, width, sizes_.padding));
  if (sizes_.positions > 0)
    positions_ = place(*this, at + "position_embeddings",
                       std::make_shared<Embedding>(sizes_.positions, width, padded_position));
  if (sizes_.types > 0)
    types_ = place(*this, at + "token_type_embeddings", std::make_shared<Embedding>(sizes_.types, width));
  embedding_norm_ = place(*this, at + "LayerNorm", std::make_shared<LayerNorm>(width, eps_));
}

std::shared_ptr<Linear> TextEncoder::place_linear(const std::string& name, std::int64_t in,
                                                  std::int64_t out) {
  return place(*this, name, std::make_shared<Linear>(in, out));
}

TextLayer TextEncoder::place_layer(const std::string& at, const LayerNames& names) {
  const std::int64_t d = sizes_.hidden;
  TextLayer l;
  l.query = place_linear(at + names.query, d, d);
  l.key = place_linear(at + names.key, d, d);
  l.value = place_linear(at + names.value, d, d);
  l.mix = place_linear(at + names.mix, d, d);
  l.attention_norm = place(*this, at + names.attention_norm, std::make_shared<LayerNorm>(d, eps_));
  l.widen = place_linear(at + names.widen, d, sizes_.inner);
  l.narrow = place_linear(at + names.narrow, sizes_.inner, d);
  l.output_norm = place(*this, at + names.output_norm, std::make_shared<LayerNorm>(d, eps_));
  return l;
}

Tensors TextEncoder::forward(const Tensors& inputs) {
  const torch::Tensor& ids = inputs.at("input_ids");
  EXPUNGE_CHECK(ids.dim() == 2, "input_ids has {} dimensions, expected [n, tokens]", ids.dim());
  const auto mask = inputs.find("attention_mask");
  const torch::Tensor features = encode(embed(inputs), mask == inputs.end() ? torch::Tensor() : mask->second);
  const torch::Tensor pooled = pool(features.select(1, 0));
  return {{"logits", classifier_->forward(pooled)}, {"pooled", pooled}, {"features", features}};
}

torch::Tensor TextEncoder::position_ids(const torch::Tensor& ids) const {
  const std::int64_t tokens = ids.size(1);
  EXPUNGE_CHECK(tokens <= sizes_.positions, "a text of {} tokens, the model has {} positions", tokens,
                sizes_.positions);
  return at::arange(tokens, ids.options()).unsqueeze(0);
}

torch::Tensor TextEncoder::embed(const Tensors& inputs) const {
  const torch::Tensor& ids = inputs.at("input_ids");
  // Gradients of single samples need a row for each of them.
  const auto rows = [&](const torch::Tensor& x) {
    return Recorder::active() ? x.expand({ids.size(0), x.size(1)}) : x;
  };
  torch::Tensor x = words_->forward(ids);
  if (types_) {
    const auto given = inputs.find("token_type_ids");
    x = x + types_->forward(given != inputs.end() ? given->second
                                                  : rows(at::zeros({1, ids.size(1)}, ids.options())));
  }
  if (positions_) x = x + positions_->forward(rows(position_ids(ids)));
  x = drop(embedding_norm_->forward(x), dropouts_.hidden);
  return widen_ ? widen_->forward(x) : x;
}

torch::Tensor TextEncoder::encode(torch::Tensor x, const torch::Tensor& mask) const {
  const torch::Tensor added = mask.defined() ? additive_mask(mask, x.scalar_type()) : torch::Tensor();
  for (std::size_t i = 0; i < layers_.size(); ++i)
    x = recomputed(x.device(), [this, i, x, added] {
      const TextLayer& layer = layers_[i];
      const auto heads = [&](const std::shared_ptr<Linear>& projection) {
        return split_heads(projection->forward(x), sizes_.heads);
      };
      const torch::Tensor mixed = attention(heads(layer.query), heads(layer.key), heads(layer.value), added,
                                            dropouts_.attention, is_training());
      return finish_layer(i, x, join_heads(mixed));
    });
  return x;
}

torch::Tensor TextEncoder::finish_layer(std::size_t i, const torch::Tensor& x,
                                        const torch::Tensor& mixed) const {
  const TextLayer& layer = layers_[i];
  const torch::Tensor attended =
      layer.attention_norm->forward(drop(layer.mix->forward(mixed), dropouts_.mixed) + x);
  const torch::Tensor inner =
      drop(layer.narrow->forward(activation_(layer.widen->forward(attended))), dropouts_.output);
  return layer.output_norm->forward(adapted("layer" + std::to_string(i), inner) + attended);
}

bool TextEncoder::has_dropout() const {
  const TextDropouts& d = dropouts_;
  return d.hidden > 0 || d.attention > 0 || d.mixed > 0 || d.output > 0 || d.head > 0;
}

std::vector<AdapterSite> TextEncoder::adapter_sites() const {
  std::vector<AdapterSite> out;
  for (std::size_t i = 0; i < layers_.size(); ++i)
    out.push_back({"layer" + std::to_string(i), sizes_.hidden});
  return out;
}

// Heads of pre-training.
bool TextEncoder::ignores(const std::string& name) const {
  for (const char* head : {"cls.", "lm_head.", "discriminator_predictions.", "generator_predictions.",
                           "generator_lm_head.", "lm_predictions.", "mask_predictions.", "predictions.",
                           "sop_classifier.", "vocab_transform.", "vocab_layer_norm.", "vocab_projector."})
    if (name.rfind(head, 0) == 0) return true;
  return Model::ignores(name);
}

nlohmann::json TextEncoder::shapeless_settings(const nlohmann::json& config) const {
  return {{"num_attention_heads", field(config, "num_attention_heads", std::int64_t{12})},
          {"layer_norm_eps", field(config, "layer_norm_eps", 1e-12)},
          {"hidden_act", field<std::string>(config, "hidden_act", "gelu")}};
}

}  // namespace expunge::models
