// How a normalised text is cut into words, which a model of pieces then cuts further.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace expunge::data {

struct PreTokenizer {
  enum class Kind {
    kWhole,      // the text is one word
    kWhite,      // between white space
    kBert,       // the same, and every punctuation mark is a word
    kByteLevel,  // GPT-2's pattern: contractions; letters, numbers or others with a space before; white space
    kClip,       // contractions; letters; single numbers; others; without white space
    kMetaspace,  // spaces become U+2581, which every word begins with
  };
  Kind kind = Kind::kWhole;
  bool prefix_space = false;  // kByteLevel: a space before a text that has none
  // kMetaspace
  bool between_white = false;  // cut at white space first
  bool punctuation = false;    // then set punctuation marks apart
  bool cut = true;             // before every U+2581
  enum class Prepend {
    kNever,
    kFirst,
    kAlways
  } prepend = Prepend::kAlways;  // of U+2581 to a word; kFirst: to the text's first
};

// Words as views into `text`, or into `storage` where they differ from it. `first`: the text begins the
// sample.
void pre_tokenize(const PreTokenizer& how, std::string_view text, bool first, std::string& storage,
                  std::vector<std::string_view>& words);

}  // namespace expunge::data
