// Texts to token ids and back, as the Hugging Face `tokenizers` package does it: special tokens in the text,
// normalisation, words, pieces, a template of special tokens, truncation.
//
// Texts are UTF-8; every ill-formed part counts as U+FFFD (unicode.hpp). An empty text has no pieces, so it
// is its template alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizers/byte_trie.hpp"
#include "data/tokenizers/normalizer.hpp"
#include "data/tokenizers/piece_model.hpp"
#include "data/tokenizers/pre_tokenizer.hpp"

namespace expunge::data {

// A token that is found in the text itself, before it is cut: the leftmost, then the longest.
struct AddedToken {
  std::string text{};
  std::int32_t id = -1;
  bool special = true;                           // left out of decoded texts
  bool normalized = false;                       // looked for in the normalised text
  bool strip_left = false, strip_right = false;  // takes the white space beside it along
  bool single_word = false;                      // only where no letter, digit or _ is beside it
};

// An item of a template: a special token, or the pieces of the first or second text.
struct TemplateItem {
  enum class Kind { kSpecial, kFirst, kSecond } kind = Kind::kSpecial;
  std::int32_t id = -1;   // kSpecial
  std::uint8_t type = 0;  // segment
};

// How pieces become text again.
struct Decoder {
  enum class Kind {
    kWordPiece,  // `mark` begins pieces that go on; spaces before punctuation and around contractions go
    kByteLevel,  // bytes in GPT-2's alphabet
    kMetaspace,  // U+2581 is a space; the first one goes when `strip`
    kWordEnd,    // `mark` ends words
    kJoin,       // pieces as they are, one after the other
  } kind = Kind::kJoin;
  std::string mark{};
  bool strip = true;
  bool byte_fallback = false;  // kMetaspace: pieces <0x00> to <0xFF> are bytes
};

struct TokenizerParts {
  Vocabulary vocabulary;  // with the added tokens' texts
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::shared_ptr<const PieceModel> model;
  std::vector<AddedToken> added;
  std::vector<TemplateItem> single, pair;  // empty: the pieces alone
  Decoder decoder;
  std::int32_t pad = -1, unknown = -1, begin = -1, end = -1, separator = -1, mask = -1;  // -1: none
  std::int64_t longest = 0;  // what the model was made for, special tokens included; 0 = not told
};

struct Encoding {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> types;  // one an id
};

class Tokenizer {
 public:
  explicit Tokenizer(TokenizerParts parts);

  // The pieces of `text` without the template, appended to `out`.
  void cut(std::string_view text, std::vector<std::int32_t>& out) const;
  // With the template, and at most `longest` ids (0 = all): pieces are taken from the end of the longer text
  // first. ConfigError when the template alone has more. An empty second text counts as none.
  Encoding encode(std::string_view text, std::int64_t longest = 0) const;
  Encoding encode(std::string_view first, std::string_view second, std::int64_t longest = 0) const;
  std::string decode(const std::vector<std::int32_t>& ids, bool skip_special = true) const;

  std::int64_t size() const { return static_cast<std::int64_t>(parts_.vocabulary.size()); }  // largest id + 1
  std::int32_t find(std::string_view token) const;  // -1: no such token
  const std::string& token(std::int32_t id) const;  // "" outside the vocabulary
  const TokenizerParts& parts() const { return parts_; }

 private:
  void cut_plain(std::string_view text, bool first, std::vector<std::int32_t>& out) const;
  void cut_normalized(std::string_view text, bool first, std::vector<std::int32_t>& out) const;
  Encoding fill(const std::vector<TemplateItem>& items, std::vector<std::int32_t>& first,
                std::vector<std::int32_t>& second, std::int64_t longest) const;

  TokenizerParts parts_;
  ByteTrie ids_, raw_added_, normalized_added_;  // values: ids; positions in parts_.added
  std::vector<bool> special_;                    // by id
};

// --- where tokenizers come from
// ------------------------------------------------------------------------------- All of these throw
// DataError 66 for an absent file and 65, with the place, for one that cannot be used.

// A Hugging Face folder: tokenizer.json; else vocab.txt, vocab.json with merges.txt, or a SentencePiece
// model, together with tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json
// where they are. `model_type` replaces the one of config.json.
std::shared_ptr<const Tokenizer> read_tokenizer(const std::filesystem::path& folder,
                                                const std::string& model_type = "");

std::shared_ptr<const Tokenizer> read_tokenizer_json(const std::filesystem::path& file);

struct WordPieceOptions {
  bool lower = true;
  int accents = -1;  // strip them: 1, 0, or -1 = as `lower`
  bool ideographs = true;
  std::string unknown = "[UNK]", separator = "[SEP]", pad = "[PAD]", cls = "[CLS]", mask = "[MASK]";
};
std::shared_ptr<const Tokenizer> read_word_piece(const std::filesystem::path& vocab_txt,
                                                 const WordPieceOptions& options = {});

// GPT-2 adds nothing, RoBERTa <s> and </s>, CLIP <|startoftext|> and <|endoftext|>.
enum class BpeFamily { kGpt2, kRoberta, kClip };
struct BytePairOptions {
  BpeFamily family = BpeFamily::kGpt2;
  bool prefix_space = false;
  std::vector<AddedToken> added{};  // besides the family's
};
std::shared_ptr<const Tokenizer> read_byte_pairs(const std::filesystem::path& vocab_json,
                                                 const std::filesystem::path& merges_txt,
                                                 const BytePairOptions& options = {});
// OpenAI's files: bpe_simple_vocab_16e6.txt(.gz) of CLIP, whose vocabulary follows from its merges, and
// *.tiktoken, lines of a piece in base64 and its rank.
std::shared_ptr<const Tokenizer> read_clip_merges(const std::filesystem::path& file);
std::shared_ptr<const Tokenizer> read_tiktoken(const std::filesystem::path& file,
                                               const std::vector<AddedToken>& added,
                                               const std::vector<TemplateItem>& single);

// Families that differ in what surrounds the SentencePiece model.
enum class SentencePieceFamily { kAlbert, kDebertaV2, kT5, kLlama };
struct SentencePieceOptions {
  SentencePieceFamily family = SentencePieceFamily::kT5;
  bool lower = false, keep_accents = false;  // ALBERT: lower = true
  bool punctuation = false;                  // DeBERTa-v2: split_by_punct
  std::int64_t extra_ids = 100;              // T5
  std::vector<AddedToken> added{};           // besides the family's
};
std::shared_ptr<const Tokenizer> read_sentence_piece(const std::filesystem::path& file,
                                                     const SentencePieceOptions& options);

}  // namespace expunge::data
