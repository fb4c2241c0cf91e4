#include "data/tokenizers/unicode.hpp"

#include <utf8proc.h>

#include <cstring>
#include <vector>

#include "core/error.hpp"

namespace expunge::data::unicode {
namespace {

constexpr std::uint32_t kCodePoints = 0x110000;

bool is_white_space(std::uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

// The last but two of these blocks begins at 2B920, not at 2B820, in the tokenizers that everybody uses.
bool is_ideograph(std::uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

std::uint8_t category_bits(std::uint32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return kNumber;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return kPunctuation;
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
      return kOther;
    case UTF8PROC_CATEGORY_MN:
      return kNonspacing | kMark;
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return kMark;
    default:
      return 0;
  }
}

std::vector<std::uint8_t> make_properties() {
  std::vector<std::uint8_t> out(kCodePoints);
  for (std::uint32_t c = 0; c < kCodePoints; ++c) {
    std::uint8_t bits = category_bits(c);
    if (is_white_space(c)) bits |= kSpace;
    if (is_ideograph(c)) bits |= kIdeograph;
    if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126))
      bits |= kPunctuation;
    out[c] = bits;
  }
  return out;
}

// Bytes of the well-formed character at `at`; 0 when there is none, with the length of the ill-formed part
// in `bad` (Unicode 15, table 3-7: a sequence is cut before the first byte that cannot go on).
std::size_t character_at(std::string_view text, std::size_t at, std::size_t& bad) {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const unsigned first = byte(at);
  bad = 1;
  if (first < 0x80) return 1;
  unsigned low = 0x80, high = 0xBF;
  std::size_t length = 0;
  if (first >= 0xC2 && first <= 0xDF) length = 2;
  if (first >= 0xE0 && first <= 0xEF) length = 3;
  if (first >= 0xF0 && first <= 0xF4) length = 4;
  if (length == 0) return 0;
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  for (std::size_t i = 1; i < length; ++i, low = 0x80, high = 0xBF, ++bad)
    if (byte(at + i) < low || byte(at + i) > high) return 0;
  return length;
}

// The bytes of ASCII characters at the start of `text`.
std::size_t ascii_prefix(std::string_view text) {
  std::size_t at = 0;
  for (std::uint64_t eight; at + 8 <= text.size(); at += 8) {
    std::memcpy(&eight, text.data() + at, 8);
    if (eight & 0x8080808080808080u) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

void append_normal_form(std::string& out, std::string_view text, Form form) {
  const bool compat = form == Form::kNfkc || form == Form::kNfkd,
             compose = form == Form::kNfc || form == Form::kNfkc;
  const auto options = static_cast<utf8proc_option_t>(
      UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) | (compat ? UTF8PROC_COMPAT : 0));
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  std::vector<utf8proc_int32_t> buffer(text.size() * 4 + 8);
  for (;;) {
    auto count = utf8proc_decompose(bytes, static_cast<utf8proc_ssize_t>(text.size()), buffer.data(),
                                    static_cast<utf8proc_ssize_t>(buffer.size()), options);
    EXPUNGE_CHECK(count >= 0, "utf8proc: {}", utf8proc_errmsg(count));
    if (count > static_cast<utf8proc_ssize_t>(buffer.size())) {
      buffer.resize(static_cast<std::size_t>(count));
      continue;
    }
    if (compose) count = utf8proc_normalize_utf32(buffer.data(), count, options);
    for (utf8proc_ssize_t i = 0; i < count; ++i)
      append(out, static_cast<std::uint32_t>(buffer[static_cast<std::size_t>(i)]));
    return;
  }
}

}  // namespace

const std::uint8_t* properties() {
  static const std::vector<std::uint8_t> table = make_properties();
  return table.data();
}

bool is_ascii(std::string_view text) { return ascii_prefix(text) == text.size(); }

std::string_view well_formed(std::string_view text, std::string& storage) {
  std::size_t at = 0, bad = 0;
  for (;;) {
    at += ascii_prefix(text.substr(at));
    if (at == text.size()) return text;
    const std::size_t length = character_at(text, at, bad);
    if (length == 0) break;
    at += length;
  }
  storage.assign(text.substr(0, at));
  while (at < text.size()) {
    const std::size_t length = character_at(text, at, bad);
    if (length == 0)
      storage += "\xEF\xBF\xBD";
    else
      storage.append(text.substr(at, length));
    at += length == 0 ? bad : length;
  }
  return storage;
}

void append(std::string& out, std::uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

void append_lower(std::string& out, std::uint32_t c) {
  if (c == 0x130) {  // the only code point whose full lower case has two
    out += "i\xCC\x87";
    return;
  }
  append(out, c < 0x80 ? (c >= 'A' && c <= 'Z' ? c + 32 : c)
                       : static_cast<std::uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

std::string normal_form(std::string_view text, Form form) {
  // ASCII characters neither change nor move, and nothing combines with a character before them: only the
  // spans of other characters go through the library, each with the ASCII character before it.
  std::string out;
  out.reserve(text.size() + 16);
  while (!text.empty()) {
    const std::size_t plain = ascii_prefix(text);
    if (plain == text.size()) {
      out += text;
      break;
    }
    const std::size_t begin = plain > 0 ? plain - 1 : 0;
    std::size_t end = plain;
    while (end < text.size() && static_cast<unsigned char>(text[end]) >= 0x80) ++end;
    out += text.substr(0, begin);
    append_normal_form(out, text.substr(begin, end - begin), form);
    text.remove_prefix(end);
  }
  return out;
}

std::size_t grapheme_length(std::string_view text) {
  std::size_t at = 0;
  auto before = static_cast<utf8proc_int32_t>(next(text, at));
  utf8proc_int32_t state = 0;
  while (at < text.size()) {
    std::size_t behind = at;
    const auto c = static_cast<utf8proc_int32_t>(next(text, behind));
    if (utf8proc_grapheme_break_stateful(before, c, &state)) break;
    before = c;
    at = behind;
  }
  return at;
}

}  // namespace expunge::data::unicode
