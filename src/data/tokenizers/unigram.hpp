// The unigram language model of SentencePiece (Kudo 2018): the cut of a word whose pieces' scores add up to
// most.
#pragma once

#include "data/tokenizers/byte_trie.hpp"
#include "data/tokenizers/piece_model.hpp"

namespace expunge::data {

class Unigram : public PieceModel {
 public:
  // `scores` are log probabilities, one a piece. A character without a piece scores the lowest of them less
  // 10; neighbouring ones are one unknown piece, or with `byte_fallback` the pieces <0x00> to <0xFF> of their
  // bytes.
  Unigram(const Vocabulary& vocabulary, std::vector<double> scores, std::int32_t unknown,
          bool byte_fallback = false);
  void cut(std::string_view word, std::vector<std::int32_t>& out) const override;

 private:
  void add_unknown(std::string_view text, std::vector<std::int32_t>& out) const;

  ByteTrie pieces_;
  std::vector<double> scores_;
  double unknown_score_ = 0;
  std::int32_t unknown_;
  std::vector<std::int32_t> byte_;  // 256, or empty
};

}  // namespace expunge::data
