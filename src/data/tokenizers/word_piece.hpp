// WordPiece (Schuster and Nakajima 2012, as BERT uses it): the longest piece that a word begins with, then
// the longest that goes on, and so forth; the unknown piece for a word that cannot be cut or is too long.
#pragma once

#include "data/tokenizers/byte_trie.hpp"
#include "data/tokenizers/piece_model.hpp"

namespace expunge::data {

class WordPiece : public PieceModel {
 public:
  // Pieces that go on begin with `prefix` in the vocabulary. Words of more than `most` characters are
  // unknown.
  WordPiece(const Vocabulary& vocabulary, std::int32_t unknown, const std::string& prefix = "##",
            std::size_t most = 100);
  void cut(std::string_view word, std::vector<std::int32_t>& out) const override;

 private:
  ByteTrie begin_, go_on_;
  std::int32_t unknown_;
  std::size_t most_;
};

}  // namespace expunge::data
