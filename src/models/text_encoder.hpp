// What the text encoders' config.json files share, their parameters and their price. Torch-free.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "models/config_json.hpp"
#include "models/descriptor.hpp"
#include "models/transformer_cost.hpp"

namespace expunge::models {

struct TextSizes {
  std::int64_t vocabulary, positions, types, hidden, layers, heads, inner, classes;
  std::int64_t
      embedding;         // width of the token embeddings; a linear layer leads to `hidden` where they differ
  std::int64_t padding;  // token id, -1 for none
};

// The fields under the names that BERT and most after it use; `defaults` are the class's (its `embedding` 0:
// as wide as the layers). DataError 65 for heads that do not divide the width, for a position embedding other
// than "absolute" and for a padding id outside the vocabulary.
TextSizes read_text_sizes(const nlohmann::json& config, const TextSizes& defaults);
void check_text_sizes(const TextSizes& sizes);

// Probability under `key`, else `fallback`. DataError 65 outside [0, 1).
double dropout_field(const nlohmann::json& config, const std::string& key, double fallback);

// Parameters of the post-norm layers of BERT: projections, perceptron, two norms, all with biases.
std::int64_t layer_parameters(const TextSizes& sizes);

// Price of a text of `tokens`: FLOPs of `head` (trained with adapters, as a whole) and of a `pooler` between
// the layers and the head (not trained with adapters). Texts have no input that a gradient is lost at, so the
// whole backward pass is twice the forward one.
struct TextHead {
  double head = 0, pooler = 0;
};
Cost text_cost(const TextSizes& sizes, std::int64_t tokens, const TextHead& head);
Cost text_lora_cost(const TextSizes& sizes, std::int64_t tokens, const TextHead& head, std::int64_t rank);

// What the layers keep; dropouts under BERT's names where `config` has them, else on.
Activations text_activations(const TextSizes& sizes, const nlohmann::json& config, std::int64_t tokens);

// The head of two layers on the first token, of the layers' width and of the classes: parameters and price.
std::int64_t two_layer_head_parameters(const TextSizes& sizes);
TextHead two_layer_head(const TextSizes& sizes);

// `d` as a text classifier that is priced by these: takes_text, cost, lora_cost and activations are filled
// in.
Descriptor priced_text(Descriptor d, TextSizes (*sizes)(const nlohmann::json& config),
                       TextHead (*head)(const TextSizes& sizes));

// Query and value projections named PREFIX + layer + SUFFIX[0 or 1].
std::vector<Projection> text_projections(const TextSizes& sizes, const std::string& prefix,
                                         const std::string& query, const std::string& value);
// Those of BERT's layers in a network whose names begin with `prefix`.
std::vector<Projection> bert_projections(const TextSizes& sizes, const std::string& prefix);

// Fields that every text encoder's config.json gets for this input: sizes under BERT's names, vocabulary and
// positions that suffice for it, labels.
struct TextSize {  // a registered size
  const char* name;
  std::int64_t hidden, layers, heads, inner, vocabulary;
};
nlohmann::json text_config(const TextSize& size, const InputShape& input, std::int64_t positions);

// As text_config, with what BERT, ELECTRA and RoBERTa add: layer norms, token types and the classifier's
// dropout.
nlohmann::json bert_config(const TextSize& size, const InputShape& input, std::int64_t positions);

// The registered size of this name; InternalError when there is none.
template <class Sizes>
const auto& registered(const Sizes& sizes, const std::string& name) {
  for (const auto& s : sizes)
    if (name == s.name) return s;
  throw InternalError(name + " is not registered");
}
template <class Sizes>
std::vector<std::string> names_of(const Sizes& sizes) {
  std::vector<std::string> out;
  for (const auto& s : sizes) out.emplace_back(s.name);
  return out;
}

}  // namespace expunge::models
