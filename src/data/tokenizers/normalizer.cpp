#include "data/tokenizers/normalizer.hpp"

#include <algorithm>
#include <array>

#include "data/tokenizers/unicode.hpp"

namespace expunge::data {
namespace {

// Calls `f(code_point)` for every character.
template <class F>
void each(std::string_view text, F f) {
  for (std::size_t at = 0; at < text.size();) f(unicode::next(text, at));
}

std::string without(std::string_view text, std::uint8_t bits) {
  const auto* properties = unicode::properties();
  std::string out;
  out.reserve(text.size());
  each(text, [&](std::uint32_t c) {
    if (!(properties[c] & bits)) unicode::append(out, c);
  });
  return out;
}

// ASCII characters under `clean` and `lower`: what becomes of each; 0 = dropped.
std::array<char, 128> ascii_table(const NormalizerStep& step) {
  std::array<char, 128> out{};
  for (int c = 0; c < 128; ++c) {
    char to = static_cast<char>(c);
    if (step.lower && c >= 'A' && c <= 'Z') to = static_cast<char>(c + 32);
    if (step.clean && (c == '\t' || c == '\n' || c == '\r'))
      to = ' ';
    else if (step.clean && (c < 32 || c == 127))
      to = 0;
    out[static_cast<std::size_t>(c)] = to;
  }
  return out;
}

// Cleaning and setting ideographs apart, a character at a time. ASCII ends in its final case at once.
std::string clean_and_space(const NormalizerStep& step, std::string_view text) {
  const auto* properties = unicode::properties();
  const auto ascii = ascii_table(step);
  std::string out;
  out.reserve(text.size() + 16);
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 128) {
      ++at;
      if (ascii[byte] != 0 || (byte == 0 && !step.clean)) out += ascii[byte];
      continue;
    }
    const std::uint32_t c = unicode::next(text, at);
    const std::uint8_t bits = properties[c];
    if (step.clean && (c == 0xFFFD || (bits & unicode::kOther))) continue;
    if (step.clean && (bits & unicode::kSpace)) {
      out += ' ';
    } else if (step.ideographs && (bits & unicode::kIdeograph)) {
      out += ' ';
      unicode::append(out, c);
      out += ' ';
    } else {
      unicode::append(out, c);
    }
  }
  return out;
}

std::string lower_case(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  each(text, [&](std::uint32_t c) { unicode::append_lower(out, c); });
  return out;
}

std::string bert(const NormalizerStep& step, std::string_view text) {
  std::string out = clean_and_space(step, text);
  if (unicode::is_ascii(out)) return out;
  if (step.accents) out = without(unicode::normal_form(out, unicode::Form::kNfd), unicode::kNonspacing);
  if (step.lower) out = lower_case(out);
  return out;
}

std::string replaced(std::string_view text, const std::string& from, const std::string& to) {
  if (from.empty()) return std::string(text);
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0;;) {
    const std::size_t found = text.find(from, at);
    out += text.substr(at, found - at);
    if (found == std::string_view::npos) return out;
    out += to;
    at = found + from.size();
  }
}

std::string space_runs(std::string_view text, const std::string& to) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && text[end] == ' ') ++end;
    if (end - at >= 2) {
      out += to;
      at = end;
    } else {
      out += text[at++];
    }
  }
  return out;
}

std::string white_runs(std::string_view text, const std::string& to) {
  const auto* properties = unicode::properties();
  std::string out;
  out.reserve(text.size());
  bool in_run = false;
  each(text, [&](std::uint32_t c) {
    const bool white = properties[c] & unicode::kSpace;
    if (!white) unicode::append(out, c);
    if (white && !in_run) out += to;
    in_run = white;
  });
  return out;
}

std::string stripped(std::string_view text, bool left, bool right) {
  const auto* properties = unicode::properties();
  std::size_t begin = text.size(), end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t here = at;
    if (properties[unicode::next(text, at)] & unicode::kSpace) continue;
    begin = std::min(begin, here);
    end = at;
  }
  if (begin > end) return left || right ? "" : std::string(text);
  if (!left) begin = 0;
  if (!right) end = text.size();
  return std::string(text.substr(begin, end - begin));
}

std::string after_step(const NormalizerStep& step, std::string_view text) {
  using Kind = NormalizerStep::Kind;
  switch (step.kind) {
    case Kind::kBert:
      return bert(step, text);
    case Kind::kNfc:
      return unicode::normal_form(text, unicode::Form::kNfc);
    case Kind::kNfd:
      return unicode::normal_form(text, unicode::Form::kNfd);
    case Kind::kNfkc:
      return unicode::normal_form(text, unicode::Form::kNfkc);
    case Kind::kNfkd:
      return unicode::normal_form(text, unicode::Form::kNfkd);
    case Kind::kStripAccents:
      return without(text, unicode::kMark);
    case Kind::kLowercase:
      return lower_case(text);
    case Kind::kReplace:
      return replaced(text, step.from, step.to);
    case Kind::kSpaceRuns:
      return space_runs(text, step.to);
    case Kind::kWhiteRuns:
      return white_runs(text, step.to);
    case Kind::kStrip:
      return stripped(text, step.left, step.right);
    case Kind::kPrecompiled:
      return step.charsmap->apply(text);
    case Kind::kPrepend:
      return text.empty() ? std::string() : step.to + std::string(text);
  }
  return std::string(text);
}

}  // namespace

std::string normalize(const Normalizer& steps, std::string_view text) {
  if (steps.empty()) return std::string(text);
  std::string out = after_step(steps.front(), text);
  for (std::size_t i = 1; i < steps.size(); ++i) out = after_step(steps[i], out);
  return out;
}

}  // namespace expunge::data
