// Byte-pair encoding (Sennrich et al. 2016): the adjacent pair of the lowest rank is joined, the leftmost
// first, until no pair has a rank.
#pragma once

#include <array>
#include <unordered_map>

#include "data/tokenizers/byte_trie.hpp"
#include "data/tokenizers/piece_model.hpp"

namespace expunge::data {

struct BpeOptions {
  bool bytes = true;  // symbols are bytes (GPT-2's alphabet of 256 printable characters); else characters
  std::string word_end{};      // joined to a word's last symbol ("</w>")
  bool byte_fallback = false;  // a character without a piece becomes its bytes' pieces <0x00> to <0xFF>
  bool fuse_unknown = false;   // neighbouring unknown characters are one unknown piece
  bool whole_words = false;    // a word that is a piece needs no merges ("ignore_merges")
  std::int32_t unknown = -1;   // -1: a symbol without a piece is left out
};

class Bpe : public PieceModel {
 public:
  struct Merge {
    std::int32_t left, right, into;
  };
  // `merges` in order of rank. A vocabulary of bytes is spelt in GPT-2's alphabet.
  Bpe(const Vocabulary& vocabulary, const std::vector<Merge>& merges, const BpeOptions& options);
  void cut(std::string_view word, std::vector<std::int32_t>& out) const override;

 private:
  struct Joined {
    std::uint32_t rank;
    std::int32_t into;
  };
  const Joined* merge_of(std::int32_t left, std::int32_t right) const;
  void symbols_of(std::string_view word, std::vector<std::int32_t>& out) const;
  void add_character(std::string_view character, bool last, std::vector<std::int32_t>& out) const;
  void join(std::vector<std::int32_t>& symbols) const;
  void join_long(std::vector<std::int32_t>& symbols) const;
  void find_whole_words(const Vocabulary& texts);

  BpeOptions options_;
  ByteTrie characters_;                                 // pieces as text, for symbols that are characters
  std::array<std::int32_t, 256> byte_{}, last_byte_{};  // symbols of bytes, within and at the end of a word
  ByteTrie whole_;                                      // words whose merges end in one piece, and that piece
  // Open addressing, a power of two: key = left << 32 | right; empty = ~0.
  std::vector<std::uint64_t> keys_;
  std::vector<Joined> joined_;
};

// GPT-2's alphabet: 188 printable bytes stand for themselves, the others for U+0100 and on.
const std::array<std::string, 256>& byte_alphabet();
// Text in this alphabet as bytes; false when a character is not of it.
bool bytes_of_alphabet(std::string_view text, std::string& bytes);

// All pairs of pieces whose join is a piece, in order of that piece's rank (smaller first, then pairs by the
// length of the left one): the merges of a vocabulary that comes with ranks or scores instead.
std::vector<Bpe::Merge> merges_of_ranks(const Vocabulary& vocabulary, const std::vector<double>& ranks);

}  // namespace expunge::data
