// What a family's network reads. Torch-free.
#pragma once

#include "models/descriptor.hpp"

namespace expunge::models {

// Images alone; image-caption pairs, which a fusion module joins; or texts alone, whose samples are one row
// of tokens: InputShape has channels 0, height 1 and width = tokens (vocabulary 0: the family's own).
enum class InputKind { kImages, kPairs, kTexts };

inline InputKind input_kind(const Descriptor& d) {
  if (!d.takes_text) return InputKind::kImages;
  return d.fusion.empty() ? InputKind::kTexts : InputKind::kPairs;
}

}  // namespace expunge::models
