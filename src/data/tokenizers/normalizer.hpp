// What a tokenizer does to a text before it is cut into words.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizers/charsmap.hpp"

namespace expunge::data {

// A step; its name is that of the `tokenizers` package. Texts are well-formed UTF-8 and stay so.
struct NormalizerStep {
  enum class Kind {
    kBert,          // clean, ideographs, accents, lower
    kNfc,           //
    kNfd,           //
    kNfkc,          //
    kNfkd,          //
    kStripAccents,  // drops combining marks (category M)
    kLowercase,     // each character by itself
    kReplace,       // `from` by `to`
    kSpaceRuns,     // two or more spaces by `to`
    kWhiteRuns,     // one or more white spaces by `to`
    kStrip,         // white space at the left, at the right
    kPrecompiled,   // charsmap
    kPrepend,       // `to` before a text that is not empty
  };
  Kind kind;
  // kBert. Cleaning drops NUL, U+FFFD and the characters of `unicode::kOther` and makes white space a space;
  // accents are the characters Mn of the text's NFD.
  bool clean = true, ideographs = true, accents = true, lower = true;
  bool left = true, right = true;  // kStrip
  std::string from{}, to{};
  std::shared_ptr<const Charsmap> charsmap{};
};

using Normalizer = std::vector<NormalizerStep>;

std::string normalize(const Normalizer& steps, std::string_view text);

}  // namespace expunge::data
