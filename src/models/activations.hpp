// What layers keep for the backward pass, as numbers of one sample: inputs of linear layers and convolutions,
// inputs and outputs of what is not linear. Torch-free.
#pragma once

#include <algorithm>

#include "models/descriptor.hpp"

namespace expunge::models {

// A transformer layer, before or after whose halves a norm stands.
struct AttentionLayer {
  double tokens, hidden, inner;
  double scores;              // of all heads: heads * tokens * tokens where every token sees all
  bool drops = false;         // dropout of hidden states: what was drawn is kept
  bool drops_scores = false;  // dropout of the attention's probabilities
  double wide() const { return tokens * hidden; }
  // Two norms' inputs and outputs, query, key, value and their mixture; before and behind the activation; the
  // probabilities.
  double kept() const {
    return (drops ? 10 : 8) * wide() + 2 * tokens * inner + (drops_scores ? 3 : 1) * scores;
  }
  double moving() const { return 2 * wide() + std::max(2 * tokens * inner, (drops_scores ? 3 : 2) * scores); }
};

// Alike layers one after another, and what is kept outside of them.
inline Activations of_layers(const AttentionLayer& layer, double layers, double outside) {
  return {layers * layer.kept() + outside, layers * layer.wide() + layer.kept() + outside, layer.moving()};
}

// Maps of a convolutional network, one after another.
struct Maps {
  double kept = 0, largest = 0;
  // A map of so many numbers, of which `copies` stages are kept: before a norm, behind it, activated.
  void add(double numbers, double copies) {
    kept += copies * numbers;
    largest = std::max(largest, numbers);
  }
  Activations done() const { return {kept, kept, 3 * largest}; }
};

// The descriptor's own; else one number for every hundred multiply-adds of the forward pass, which is more
// than any of the families with formulas keeps.
inline Activations activations_of(const Descriptor& d, const nlohmann::json& config, std::int64_t height,
                                  std::int64_t width) {
  if (d.activations) return d.activations(config, height, width);
  const Cost cost = d.cost(config, height, width);
  const double kept = (cost.forward + cost.pass_forward) / 200;
  return {kept, kept, kept / 4};
}

}  // namespace expunge::models
