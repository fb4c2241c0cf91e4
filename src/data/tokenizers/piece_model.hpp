// A model of pieces: cuts one word into entries of its vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace expunge::data {

// Entry i is piece i as text; holes are empty.
using Vocabulary = std::vector<std::string>;

class PieceModel {
 public:
  virtual ~PieceModel() = default;
  // Appends the pieces of `word`, well-formed UTF-8. Safe to call from several threads.
  virtual void cut(std::string_view word, std::vector<std::int32_t>& out) const = 0;
};

}  // namespace expunge::data
