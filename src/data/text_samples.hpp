// How texts with classes become samples: tokens, made once, when the data set is packed.
//
// What makes them is a name: "words" (lower-case words of letters and digits, each hashed to one of
// kWordVocabulary ids: no vocabulary file, for networks that start from random numbers), "bytes"
// (data/byte_text.hpp), or a folder or vocabulary file that tokenizers/tokenizer.hpp reads. The first two
// put a token for the whole text in front and an end behind each text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/byte_text.hpp"
#include "data/labelled_texts.hpp"

namespace expunge::data {

class Tokenizer;

inline const std::string kWords = "words", kBytes = "bytes";
inline constexpr std::int64_t kWordVocabulary = 8192, kWholeText = 2;

class TextTokenizer {
 public:
  // DataError 65/66: where a folder or file was looked for, or why it cannot be used.
  explicit TextTokenizer(const std::string& name);
  std::int64_t vocabulary() const { return vocabulary_; }
  // At most `longest` tokens: of two texts the longer one loses its end first.
  TextSample encode(const LabelledText& text, std::int64_t longest) const;

 private:
  std::vector<std::int32_t> pieces(const std::string& text, std::int64_t longest) const;

  bool words_ = false;
  std::shared_ptr<const Tokenizer> tokenizer_;  // null: words or bytes
  std::int64_t vocabulary_ = 0;
};

// The folder or file of this name: as it stands, else tokenizers/NAME below the data roots. DataError 66
// names the places.
std::filesystem::path find_tokenizer(const std::string& name);

// Whether a folder holds one.
bool has_tokenizer(const std::filesystem::path& folder);

// The files that a tokenizer is made of, by name.
std::vector<std::filesystem::path> tokenizer_files(const std::filesystem::path& folder_or_file);

// What a tokenizer is, wherever it lies: "words", "bytes" or a SHA-256 of its files.
std::string tokenizer_key(const std::string& name);

// Tokens of the vocabulary, for describing a data set without opening it. ConfigError where there is none.
std::int64_t vocabulary_of(const std::string& dataset, const std::string& tokenizer);

// What readers of texts with classes have in common: 128 tokens of hashed words unless the job says
// otherwise.
Info text_info(Info info);

// One side's samples, with `info`'s tokenizer and number of tokens.
Raw text_samples(const std::vector<LabelledText>& texts, const Info& info);

}  // namespace expunge::data
