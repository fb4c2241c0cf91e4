// The post-norm text encoders: embeddings, layers, a head that reads the first token. The families differ in
// names, positions, heads and (DeBERTa) attention.
#pragma once

#include "models/text_encoder.hpp"
#include "models/torch/blocks.hpp"

namespace expunge::models {

// Tensor names inside a layer.
struct LayerNames {
  std::string query, key, value, mix, attention_norm, widen, narrow, output_norm;
};
extern const LayerNames kBertNames;

struct TextLayer {
  std::shared_ptr<Linear> query, key, value, mix, widen, narrow;
  std::shared_ptr<LayerNorm> attention_norm, output_norm;
};

struct TextDropouts {
  double hidden = 0;     // of embeddings
  double attention = 0;  // of its probabilities
  double mixed = 0;      // after the attention's projection
  double output = 0;     // after the perceptron
  double head = 0;
};

// Inputs: "input_ids" [n, L] int64; "attention_mask" [n, L], 1 for tokens, 0 for padding (absent: all
// tokens); "token_type_ids" [n, L] int64 (absent: 0; not read where the family has no types).
// Outputs: "logits" [n, classes], "pooled" [n, width] what the classifier reads, "features" [n, L, hidden].
class TextEncoder : public Model {
 public:
  Tensors forward(const Tensors& inputs) override;
  void initialize(const Rng& rng) override { initialize_transformer(*this, rng, deviation_); }
  bool has_dropout() const override;
  std::string base_prefix() const override { return prefix_; }
  std::string head_prefix() const override { return "classifier"; }
  std::vector<AdapterSite> adapter_sites() const override;
  bool ignores(const std::string& name) const override;
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override;

 protected:
  TextEncoder(const nlohmann::json& config, const TextSizes& sizes, std::string prefix, double eps);

  // Parts, for constructors. Embeddings under PREFIX.embeddings, with position and type tables where the
  // sizes have some; `padded_positions`: the position of padding has no gradient.
  void place_embeddings(std::int64_t padded_position = -1);
  TextLayer place_layer(const std::string& at, const LayerNames& names);
  std::shared_ptr<Linear> place_linear(const std::string& name, std::int64_t in, std::int64_t out);

  // Position ids [n, L] or [1, L].
  virtual torch::Tensor position_ids(const torch::Tensor& ids) const;
  virtual torch::Tensor embed(const Tensors& inputs) const;
  // mask [n, L] or undefined.
  virtual torch::Tensor encode(torch::Tensor x, const torch::Tensor& mask) const;
  // The first token's features [n, hidden] as the classifier reads them.
  virtual torch::Tensor pool(const torch::Tensor& first) const = 0;

  // LN(x + mixed projection), then LN(that + perceptron). Layer number i names the adapter's site.
  torch::Tensor finish_layer(std::size_t i, const torch::Tensor& x, const torch::Tensor& mixed) const;
  torch::Tensor drop(const torch::Tensor& x, double p) const { return dropped(x, p, is_training()); }

  TextSizes sizes_;
  std::string prefix_;
  double eps_, deviation_;
  TextDropouts dropouts_;
  Activation activation_;
  std::shared_ptr<Embedding> words_, positions_, types_;
  std::shared_ptr<LayerNorm> embedding_norm_;
  std::shared_ptr<Linear> widen_;  // from embeddings to layers, where their widths differ
  std::vector<TextLayer> layers_;  // in order of use; a shared layer stands here several times
  std::shared_ptr<Linear> classifier_;
};

template <class M>
std::shared_ptr<Model> build_as(const nlohmann::json& config) {
  return std::make_shared<M>(config);
}

}  // namespace expunge::models
