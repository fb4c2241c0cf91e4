#include "data/tokenizers/parts.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace expunge::data {

std::int32_t find_token(const Vocabulary& vocabulary, const std::string& text) {
  const auto found = std::find(vocabulary.begin(), vocabulary.end(), text);
  return found == vocabulary.end() ? -1 : static_cast<std::int32_t>(found - vocabulary.begin());
}

std::int32_t require_token(const Vocabulary& vocabulary, const std::string& text, const std::string& place) {
  const std::int32_t id = find_token(vocabulary, text);
  if (id < 0) throw DataError::corrupt(fmt::format("{}: the vocabulary has no \"{}\"", place, text));
  return id;
}

AddedToken& add_special(TokenizerParts& parts, std::int32_t id) {
  const std::string& text = parts.vocabulary[static_cast<std::size_t>(id)];
  for (auto& token : parts.added)
    if (token.id == id) return token;
  return parts.added.emplace_back(AddedToken{.text = text, .id = id});
}

void surround(TokenizerParts& parts, std::int32_t begin, std::int32_t end, bool doubled) {
  using Kind = TemplateItem::Kind;
  const auto second = static_cast<std::uint8_t>(doubled ? 0 : 1);
  parts.single.clear();
  if (begin >= 0) parts.single.push_back({Kind::kSpecial, begin, 0});
  parts.single.push_back({Kind::kFirst, -1, 0});
  if (end >= 0) parts.single.push_back({Kind::kSpecial, end, 0});
  parts.pair = parts.single;
  if (doubled && end >= 0) parts.pair.push_back({Kind::kSpecial, end, 0});
  parts.pair.push_back({Kind::kSecond, -1, second});
  if (end >= 0) parts.pair.push_back({Kind::kSpecial, end, second});
}

}  // namespace expunge::data
