// SentencePiece's precompiled normalisation rules (Kudo and Richardson 2018): a Darts double array over UTF-8
// from what is replaced to a place among the replacements, which are zero-terminated.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace expunge::data {

class Charsmap {
 public:
  // The blob of a normalizer specification: u32 size of the array in bytes, the array, the replacements.
  // DataError 65 with `place` when its sizes do not fit.
  Charsmap(std::string_view blob, const std::string& place);

  // Well-formed text with the rules applied. As the `tokenizers` package does it: a grapheme cluster of less
  // than 6 bytes is replaced as a whole by the rule of its shortest prefix; else each character by its own.
  std::string apply(std::string_view text) const;

 private:
  std::optional<std::string_view> rule_of(std::string_view chunk) const;

  std::vector<std::uint32_t> units_;
  std::string replacements_;
  std::array<std::optional<std::string_view>, 128> ascii_;  // rules of single ASCII characters

 public:
  Charsmap(const Charsmap&) = delete;  // ascii_ points into replacements_
  Charsmap& operator=(const Charsmap&) = delete;
};

}  // namespace expunge::data
