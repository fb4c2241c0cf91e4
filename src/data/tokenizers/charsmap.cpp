#include "data/tokenizers/charsmap.hpp"

#include <cstring>

#include "core/error.hpp"
#include "data/tokenizers/unicode.hpp"

namespace expunge::data {
namespace {

// A unit of a Darts-clone double array.
bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1) != 0; }
std::uint32_t value_of(std::uint32_t unit) { return unit & 0x7FFFFFFFu; }
std::uint32_t label_of(std::uint32_t unit) { return unit & 0x800000FFu; }
std::uint32_t offset_of(std::uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }

constexpr std::size_t kLongestCluster = 6;

bool plain(char c) { return static_cast<unsigned char>(c) < 0x80; }

}  // namespace

Charsmap::Charsmap(std::string_view blob, const std::string& place) {
  std::uint32_t bytes = 0;
  if (blob.size() >= 4) std::memcpy(&bytes, blob.data(), 4);
  if (blob.size() < 4 || bytes > blob.size() - 4 || bytes % 4 != 0 || bytes == 0)
    throw DataError::corrupt(
        fmt::format("{}: precompiled_charsmap: an array of {} bytes in {}", place, bytes, blob.size()));
  units_.resize(bytes / 4);
  std::memcpy(units_.data(), blob.data() + 4, bytes);
  replacements_ = blob.substr(4 + bytes);
  for (std::size_t c = 0; c < ascii_.size(); ++c) {
    const char text = static_cast<char>(c);
    ascii_[c] = rule_of({&text, 1});
  }
}

std::optional<std::string_view> Charsmap::rule_of(std::string_view chunk) const {
  std::size_t node = offset_of(units_[0]);
  for (const char c : chunk) {
    const auto byte = static_cast<unsigned char>(c);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || label_of(units_[node]) != byte) return {};
    const bool leaf = has_leaf(units_[node]);
    node ^= offset_of(units_[node]);
    if (node >= units_.size()) return {};
    if (!leaf) continue;
    const std::size_t at = value_of(units_[node]);
    if (at >= replacements_.size()) return {};
    const auto rest = std::string_view(replacements_).substr(at);
    return rest.substr(0, rest.find('\0'));
  }
  return {};
}

std::string Charsmap::apply(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    if (plain(text[0]) && (text.size() == 1 || (plain(text[1]) && text[0] != '\r'))) {
      const auto& rule = ascii_[static_cast<unsigned char>(text[0])];
      if (rule)
        out += *rule;
      else
        out += text[0];
      text.remove_prefix(1);
      continue;
    }
    const auto cluster = text.substr(0, unicode::grapheme_length(text));
    text.remove_prefix(cluster.size());
    if (cluster.size() < kLongestCluster)
      if (const auto rule = rule_of(cluster)) {
        out += *rule;
        continue;
      }
    for (std::size_t at = 0; at < cluster.size();) {
      const auto character = cluster.substr(at, unicode::length_of(cluster[at]));
      out += rule_of(character).value_or(character);
      at += character.size();
    }
  }
  std::string storage;  // rules of a damaged file could cut characters in two
  if (const auto sound = unicode::well_formed(out, storage); sound.data() != out.data()) return storage;
  return out;
}

}  // namespace expunge::data
