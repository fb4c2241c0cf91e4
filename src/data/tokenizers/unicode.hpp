// UTF-8 and the Unicode properties that tokenizers ask for. Properties, cases and normal forms are
// utf8proc's; white space is the White_Space property of the Unicode Character Database.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace expunge::data::unicode {

// Properties of a code point, as bits.
enum Property : std::uint8_t {
  kLetter = 1,       // L*
  kNumber = 2,       // N*
  kSpace = 4,        // White_Space
  kPunctuation = 8,  // P*, and what ASCII counts as punctuation
  kOther = 16,       // Cc, Cf, Co, Cs: assigned, but not characters of a text
  kNonspacing = 32,  // Mn
  kMark = 64,        // M*
  kIdeograph = 128,  // the CJK blocks that BERT sets apart
};

// Properties of all code points; made at the first call.
const std::uint8_t* properties();

// Text as well-formed UTF-8: what is well-formed already comes back as it is; every maximal part of an
// ill-formed sequence becomes U+FFFD, which is what Python's errors="replace" does. `storage` keeps a mended
// text.
std::string_view well_formed(std::string_view text, std::string& storage);

bool is_ascii(std::string_view text);

// The code point at `at`, which moves behind it. Requires well-formed text and at < text.size().
inline std::uint32_t next(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i]));
  };
  const std::uint32_t first = byte(at);
  if (first < 0x80) return ++at, first;
  if (first < 0xE0) return at += 2, (first & 0x1F) << 6 | (byte(at - 1) & 0x3F);
  if (first < 0xF0) return at += 3, (first & 0x0F) << 12 | (byte(at - 2) & 0x3F) << 6 | (byte(at - 1) & 0x3F);
  return at += 4, (first & 0x07) << 18 | (byte(at - 3) & 0x3F) << 12 | (byte(at - 2) & 0x3F) << 6 |
                      (byte(at - 1) & 0x3F);
}

void append(std::string& out, std::uint32_t code_point);

// Bytes of the character that begins with this byte.
inline std::size_t length_of(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// Appends the lower case of a code point: its own mapping, without context (no rule for a final sigma).
void append_lower(std::string& out, std::uint32_t code_point);

enum class Form { kNfc, kNfd, kNfkc, kNfkd };
std::string normal_form(std::string_view text, Form form);

// Length in bytes of the first extended grapheme cluster of well-formed, non-empty text.
std::size_t grapheme_length(std::string_view text);

}  // namespace expunge::data::unicode
