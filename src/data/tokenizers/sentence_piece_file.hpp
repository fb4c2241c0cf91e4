// SentencePiece models: the fields of the protocol buffer `ModelProto` that cutting texts needs.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizers/piece_model.hpp"

namespace expunge::data {

struct SentencePieceFile {
  enum class Type { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  Vocabulary pieces;
  std::vector<double> scores;
  std::vector<Type> types;
  enum class Algorithm { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 } algorithm = Algorithm::kUnigram;
  bool byte_fallback = false;
  std::string charsmap;  // precompiled normalisation rules; may be empty
  bool dummy_prefix = true;
};

// DataError 65 with `place` for anything that is not such a message.
SentencePieceFile parse_sentence_piece(std::string_view bytes, const std::string& place);

}  // namespace expunge::data
