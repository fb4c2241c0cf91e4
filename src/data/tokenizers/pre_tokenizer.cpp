#include "data/tokenizers/pre_tokenizer.hpp"

#include "core/error.hpp"
#include "data/tokenizers/unicode.hpp"

namespace expunge::data {
namespace {

constexpr std::string_view kMeta = "\xE2\x96\x81";  // U+2581
using unicode::kLetter, unicode::kNumber, unicode::kPunctuation, unicode::kSpace;

// Cuts at white space, and around punctuation marks where `marks`.
void cut_at_white(std::string_view text, bool marks, std::vector<std::string_view>& words) {
  const auto* properties = unicode::properties();
  std::size_t begin = 0;
  const auto finish = [&](std::size_t end) {
    if (end > begin) words.push_back(text.substr(begin, end - begin));
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t here = at;
    const std::uint8_t bits = properties[unicode::next(text, at)];
    if (bits & kSpace) {
      finish(here);
      begin = at;
    } else if (marks && (bits & kPunctuation)) {
      finish(here);
      words.push_back(text.substr(here, at - here));
      begin = at;
    }
  }
  finish(text.size());
}

// Bytes of the contraction that `text` begins with: 's 't 're 've 'm 'll 'd; 0 = none.
std::size_t contraction(std::string_view text) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const char a = text[1], b = text.size() > 2 ? text[2] : '\0';
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
  return 0;
}

// The kind of a character in GPT-2's and CLIP's patterns.
std::uint8_t class_bits(std::uint8_t bits) { return bits & (kLetter | kNumber | kSpace); }

// The end of the run of characters of one class that begins at `at`.
std::size_t run_end(std::string_view text, std::size_t at, std::uint8_t kind,
                    const std::uint8_t* properties) {
  while (at < text.size()) {
    std::size_t behind = at;
    if (class_bits(properties[unicode::next(text, behind)]) != kind) break;
    at = behind;
  }
  return at;
}

// The end of the white space at `at`; `last` = where its last character begins.
std::size_t white_end(std::string_view text, std::size_t at, std::size_t& last,
                      const std::uint8_t* properties) {
  while (at < text.size()) {
    std::size_t behind = at;
    if (!(properties[unicode::next(text, behind)] & kSpace)) break;
    last = at;
    at = behind;
  }
  return at;
}

void byte_level(std::string_view text, std::vector<std::string_view>& words) {
  const auto* properties = unicode::properties();
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (const std::size_t length = contraction(text.substr(at))) {
      at += length;
    } else {
      std::size_t peek = at + (text[at] == ' ' && at + 1 < text.size() ? 1 : 0), from = peek;
      const std::uint8_t kind = class_bits(properties[unicode::next(text, peek)]);
      if (!(kind & kSpace)) {
        at = run_end(text, from, kind, properties);
      } else {  // white space, without its last character where a word follows and it is not the only one
        std::size_t last = at;
        at = white_end(text, at, last, properties);
        if (at < text.size() && last > begin) at = last;
      }
    }
    words.push_back(text.substr(begin, at - begin));
  }
}

void clip(std::string_view text, std::vector<std::string_view>& words) {
  const auto* properties = unicode::properties();
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (const std::size_t length = contraction(text.substr(at))) {
      at += length;
    } else {
      const std::uint8_t kind = class_bits(properties[unicode::next(text, at)]);
      if (kind & kSpace) continue;
      if (!(kind & kNumber)) at = run_end(text, at, kind, properties);
    }
    words.push_back(text.substr(begin, at - begin));
  }
}

// Views into `storage` are made last: it grows while words are written.
void metaspace(const PreTokenizer& how, std::string_view text, bool first, std::string& storage,
               std::vector<std::string_view>& words) {
  std::vector<std::string_view> parts;
  if (how.between_white)
    cut_at_white(text, how.punctuation, parts);
  else if (!text.empty())
    parts.push_back(text);
  storage.clear();
  std::vector<std::size_t> begins;
  for (const auto& part : parts) {
    using Prepend = PreTokenizer::Prepend;
    const bool has = part[0] == ' ' || part.starts_with(kMeta),
               at_start = first && part.data() == text.data();
    begins.push_back(storage.size());
    if (!has && (how.prepend == Prepend::kAlways || (how.prepend == Prepend::kFirst && at_start)))
      storage += kMeta;
    for (std::size_t at = 0; at < part.size();) {
      const bool space = part[at] == ' ';
      const std::size_t length = space ? 1 : unicode::length_of(part[at]);
      const auto piece = space ? kMeta : part.substr(at, length);
      if (how.cut && piece == kMeta && storage.size() > begins.back()) begins.push_back(storage.size());
      storage += piece;
      at += length;
    }
  }
  for (std::size_t i = 0; i < begins.size(); ++i) {
    const std::size_t end = i + 1 < begins.size() ? begins[i + 1] : storage.size();
    words.push_back(std::string_view(storage).substr(begins[i], end - begins[i]));
  }
}

}  // namespace

void pre_tokenize(const PreTokenizer& how, std::string_view text, bool first, std::string& storage,
                  std::vector<std::string_view>& words) {
  words.clear();
  if (text.empty()) return;
  switch (how.kind) {
    case PreTokenizer::Kind::kWhole:
      words.push_back(text);
      return;
    case PreTokenizer::Kind::kWhite:
      return cut_at_white(text, false, words);
    case PreTokenizer::Kind::kBert:
      return cut_at_white(text, true, words);
    case PreTokenizer::Kind::kClip:
      return clip(text, words);
    case PreTokenizer::Kind::kMetaspace:
      return metaspace(how, text, first, storage, words);
    case PreTokenizer::Kind::kByteLevel:
      if (how.prefix_space && text[0] != ' ') {
        storage.assign(1, ' ');
        storage += text;
        text = storage;
      }
      return byte_level(text, words);
  }
}

}  // namespace expunge::data
