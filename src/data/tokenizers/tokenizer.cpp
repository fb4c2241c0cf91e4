#include "data/tokenizers/tokenizer.hpp"

#include <algorithm>
#include <cstdlib>

#include "core/error.hpp"
#include "data/tokenizers/bpe.hpp"
#include "data/tokenizers/unicode.hpp"

namespace expunge::data {
namespace {

bool is_word(std::uint32_t c) {
  return c == '_' || (unicode::properties()[c] & (unicode::kLetter | unicode::kNumber | unicode::kMark));
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  if (end < text.size()) {
    std::size_t at = end;
    if (is_word(unicode::next(text, at))) return false;
  }
  std::size_t at = begin;
  while (at > 0 && (static_cast<unsigned char>(text[at - 1]) & 0xC0) == 0x80) --at;
  return begin == 0 || !is_word(unicode::next(text, --at));
}

std::size_t skip_white(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    std::size_t behind = at;
    if (!(unicode::properties()[unicode::next(text, behind)] & unicode::kSpace)) break;
    at = behind;
  }
  return at;
}

// Where the white space that ends at `at` begins, not before `floor`.
std::size_t white_before(std::string_view text, std::size_t at, std::size_t floor) {
  while (at > floor) {
    std::size_t begin = at - 1;
    while (begin > floor && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    std::size_t behind = begin;
    if (!(unicode::properties()[unicode::next(text, behind)] & unicode::kSpace)) break;
    at = begin;
  }
  return at;
}

// Calls `rest(text, begins the text)` for what lies between added tokens and `found(id)` for these.
template <class Rest, class Found>
void around_added(const ByteTrie& trie, const std::vector<AddedToken>& added, std::string_view text,
                  Rest rest, Found found) {
  std::size_t from = 0;
  for (std::size_t at = 0; at < text.size();) {
    std::int32_t which = -1;
    const std::size_t length = trie.longest(text.substr(at), which);
    if (length == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = added[static_cast<std::size_t>(which)];
    std::size_t begin = at, end = at + length;
    if (token.single_word && !stands_alone(text, begin, end)) {
      ++at;
      continue;
    }
    if (token.strip_left) begin = white_before(text, begin, from);
    if (token.strip_right) end = skip_white(text, end);
    if (begin > from) rest(text.substr(from, begin - from), from == 0);
    found(token.id);
    at = from = end;
  }
  if (from < text.size()) rest(text.substr(from), from == 0);
}

void erase_all(std::string& text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
}

// Of one piece, as the package's WordPiece decoder does it.
void clean_up(std::string& text) {
  constexpr std::pair<const char*, const char*> kRules[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) erase_all(text, from, to);
}

// The byte of a piece <0x..>, or -1.
int fallback_byte(const std::string& piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  char* end = nullptr;
  const std::string digits = piece.substr(3, 2);
  const long value = std::strtol(digits.c_str(), &end, 16);
  return *end == '\0' ? static_cast<int>(value) : -1;
}

}  // namespace

Tokenizer::Tokenizer(TokenizerParts parts) : parts_(std::move(parts)) {
  std::vector<std::pair<std::string, std::int32_t>> ids, raw, normalized;
  for (const auto& token : parts_.added) {
    EXPUNGE_CHECK(token.id >= 0, "added token \"{}\" without an id", token.text);
    const auto at = static_cast<std::size_t>(token.id);
    if (parts_.vocabulary.size() <= at) parts_.vocabulary.resize(at + 1);
    parts_.vocabulary[at] = token.text;
  }
  for (std::size_t id = 0; id < parts_.vocabulary.size(); ++id)
    ids.emplace_back(parts_.vocabulary[id], static_cast<std::int32_t>(id));
  special_.resize(parts_.vocabulary.size());
  for (std::size_t i = 0; i < parts_.added.size(); ++i) {
    const AddedToken& token = parts_.added[i];
    if (token.special) special_[static_cast<std::size_t>(token.id)] = true;
    if (token.normalized)
      normalized.emplace_back(normalize(parts_.normalizer, token.text), static_cast<std::int32_t>(i));
    else
      raw.emplace_back(token.text, static_cast<std::int32_t>(i));
  }
  ids_ = ByteTrie(std::move(ids));
  raw_added_ = ByteTrie(std::move(raw));
  normalized_added_ = ByteTrie(std::move(normalized));
}

void Tokenizer::cut(std::string_view text, std::vector<std::int32_t>& out) const {
  std::string storage;
  text = unicode::well_formed(text, storage);
  around_added(
      raw_added_, parts_.added, text, [&](std::string_view rest, bool first) { cut_plain(rest, first, out); },
      [&](std::int32_t id) { out.push_back(id); });
}

void Tokenizer::cut_plain(std::string_view text, bool first, std::vector<std::int32_t>& out) const {
  std::string storage;
  if (!parts_.normalizer.empty()) text = storage = normalize(parts_.normalizer, text);
  around_added(
      normalized_added_, parts_.added, text,
      [&](std::string_view rest, bool at_start) { cut_normalized(rest, first && at_start, out); },
      [&](std::int32_t id) { out.push_back(id); });
}

void Tokenizer::cut_normalized(std::string_view text, bool first, std::vector<std::int32_t>& out) const {
  thread_local std::string storage;
  thread_local std::vector<std::string_view> words;
  pre_tokenize(parts_.pre_tokenizer, text, first, storage, words);
  for (const auto word : words) parts_.model->cut(word, out);
}

Encoding Tokenizer::fill(const std::vector<TemplateItem>& items, std::vector<std::int32_t>& first,
                         std::vector<std::int32_t>& second, std::int64_t longest) const {
  using Kind = TemplateItem::Kind;
  const auto specials =
      std::count_if(items.begin(), items.end(), [](const auto& item) { return item.kind == Kind::kSpecial; });
  if (longest > 0) {
    const std::int64_t room = longest - specials;
    if (room < 0)
      throw ConfigError(
          fmt::format("{} tokens are fewer than the {} special ones of every text", longest, specials));
    // The shorter text keeps what it has, the longer one gets the rest; halves where both are longer.
    auto a = static_cast<std::int64_t>(first.size()), b = static_cast<std::int64_t>(second.size());
    const bool swapped = a > b;
    if (swapped) std::swap(a, b);
    if (a + b > room) {
      b = std::max(a, room - a);
      if (a + b > room) {
        a = room / 2;
        b = room - a;
      }
    }
    if (swapped) std::swap(a, b);
    first.resize(
        static_cast<std::size_t>(std::min<std::int64_t>(a, static_cast<std::int64_t>(first.size()))));
    second.resize(
        static_cast<std::size_t>(std::min<std::int64_t>(b, static_cast<std::int64_t>(second.size()))));
  }
  Encoding out;
  for (const auto& item : items) {
    if (item.kind == Kind::kSpecial)
      out.ids.push_back(item.id);
    else
      for (const auto id : item.kind == Kind::kFirst ? first : second) out.ids.push_back(id);
    out.types.resize(out.ids.size(), item.type);
  }
  return out;
}

Encoding Tokenizer::encode(std::string_view text, std::int64_t longest) const {
  static const std::vector<TemplateItem> plain{{TemplateItem::Kind::kFirst, -1, 0}};
  std::vector<std::int32_t> pieces, none;
  cut(text, pieces);
  return fill(parts_.single.empty() ? plain : parts_.single, pieces, none, longest);
}

Encoding Tokenizer::encode(std::string_view first, std::string_view second, std::int64_t longest) const {
  static const std::vector<TemplateItem> plain{{TemplateItem::Kind::kFirst, -1, 0},
                                               {TemplateItem::Kind::kSecond, -1, 1}};
  if (second.empty()) return encode(first, longest);
  std::vector<std::int32_t> a, b;
  cut(first, a);
  cut(second, b);
  return fill(parts_.pair.empty() ? plain : parts_.pair, a, b, longest);
}

std::string Tokenizer::decode(const std::vector<std::int32_t>& ids, bool skip_special) const {
  std::string out, bytes;
  bool first = true;
  for (const auto id : ids) {
    if (id < 0 || id >= size() || (skip_special && special_[static_cast<std::size_t>(id)])) continue;
    std::string piece = token(id);
    const Decoder& how = parts_.decoder;
    if (how.kind == Decoder::Kind::kWordPiece) {
      if (!first) piece = piece.starts_with(how.mark) ? piece.substr(how.mark.size()) : " " + piece;
      clean_up(piece);
    } else if (how.kind == Decoder::Kind::kByteLevel || how.kind == Decoder::Kind::kWordEnd) {
      if (bytes_of_alphabet(piece, bytes)) piece = bytes;
    } else if (how.kind == Decoder::Kind::kMetaspace) {
      erase_all(piece, "\xE2\x96\x81", first && how.strip ? "" : " ");
      if (const int byte = how.byte_fallback ? fallback_byte(piece) : -1; byte >= 0)
        piece.assign(1, static_cast<char>(byte));
    }
    out += piece;
    first = false;
  }
  if (parts_.decoder.kind == Decoder::Kind::kWordEnd) {
    erase_all(out, parts_.decoder.mark, " ");
    out = normalize({{.kind = NormalizerStep::Kind::kStrip}}, unicode::well_formed(out, bytes));
  }
  std::string storage;
  return std::string(unicode::well_formed(out, storage));
}

std::int32_t Tokenizer::find(std::string_view token) const { return ids_.find(token); }

const std::string& Tokenizer::token(std::int32_t id) const {
  static const std::string none;
  return id >= 0 && id < size() ? parts_.vocabulary[static_cast<std::size_t>(id)] : none;
}

}  // namespace expunge::data
