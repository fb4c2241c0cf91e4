// The price of transformer layers: four projections, two products with the attention's probabilities, two
// layers of a perceptron. Torch-free.
#pragma once

#include "models/descriptor.hpp"

namespace expunge::models {

struct LayerShape {
  double tokens, hidden, inner;
};

inline double projection_flops(const LayerShape& s) { return 2 * s.tokens * s.hidden * s.hidden; }
inline double score_flops(const LayerShape& s) { return 2 * s.tokens * s.tokens * s.hidden; }
inline double perceptron_flops(const LayerShape& s) { return 4 * s.tokens * s.hidden * s.inner; }
inline double layer_flops(const LayerShape& s) {
  return 4 * projection_flops(s) + 2 * score_flops(s) + perceptron_flops(s);
}

// Adapters of this rank beside query and value.
inline double adapter_flops(const LayerShape& s, double rank) { return 8 * s.tokens * rank * s.hidden; }

// Backward through `layers` layers of which only these adapters are trained: through every matrix above the
// lowest adapters, into none of their weights. The lowest layer's input needs no gradient, nor does its key.
inline double adapted_layers_backward(const LayerShape& s, double layers, double rank) {
  const double upper =
      4 * projection_flops(s) + perceptron_flops(s) + 4 * score_flops(s) + 2 * adapter_flops(s, rank);
  const double lowest =
      projection_flops(s) + perceptron_flops(s) + 3 * score_flops(s) + 1.5 * adapter_flops(s, rank);
  return (layers - 1) * upper + lowest;
}

}  // namespace expunge::models
