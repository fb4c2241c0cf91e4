// What a family's network reads. Torch-free.
#pragma once

#include "models/descriptor.hpp"

namespace expunge::models {

// Images alone; image-caption pairs, which a fusion module joins; or texts alone, whose samples are one row
// of tokens: InputShape has channels 0, height 1 and width = tokens (vocabulary 0: the family's own); or
// edges of a graph, which every pass runs as a whole.
enum class InputKind { kImages, kPairs, kTexts, kGraph };

inline InputKind input_kind(const Descriptor& d) {
  if (d.takes_graph) return InputKind::kGraph;
  if (!d.takes_text) return InputKind::kImages;
  return d.fusion.empty() ? InputKind::kTexts : InputKind::kPairs;
}

}  // namespace expunge::models
