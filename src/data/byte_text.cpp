#include "data/byte_text.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "data/little_endian.hpp"

namespace expunge::data {
namespace {

constexpr std::uint16_t kFirstByte = 3;

}  // namespace

std::vector<std::uint16_t> byte_tokens(std::string_view text) {
  std::vector<std::uint16_t> out;
  out.reserve(text.size());
  for (const char c : text)
    out.push_back(static_cast<std::uint16_t>(static_cast<unsigned char>(c) + kFirstByte));
  return out;
}

std::string byte_text(const std::vector<std::int64_t>& tokens) {
  std::string out;
  for (const auto t : tokens)
    if (t >= kFirstByte && t < kByteVocabulary) out += static_cast<char>(t - kFirstByte);
  return out;
}

TextSample question_and_answer(const std::string& question, const std::string& answer) {
  TextSample out;
  const auto asked = byte_tokens("Question: " + question + "\nAnswer: ");
  out.tokens.assign(asked.begin(), asked.end());
  out.prompt = static_cast<std::int64_t>(out.tokens.size());
  const auto rest = byte_tokens(answer);
  out.tokens.insert(out.tokens.end(), rest.begin(), rest.end());
  out.tokens.push_back(kEndOfText);
  return out;
}

void append_text(const Info& info, const TextSample& text, std::vector<std::uint8_t>& out) {
  const auto kept = std::min<std::int64_t>(info.tokens, std::ssize(text.tokens));
  const auto add = [&](std::int64_t number, std::int64_t bytes) {
    for (std::int64_t i = 0; i < bytes; ++i) out.push_back(static_cast<std::uint8_t>(number >> (8 * i)));
  };
  for (std::int64_t i = 0; i < info.tokens; ++i) {
    const std::int64_t token = i < kept ? text.tokens[static_cast<std::size_t>(i)] : text.padding;
    EXPUNGE_CHECK(token >= 0 && token < info.vocabulary, "token {} of a vocabulary of {}", token,
                  info.vocabulary);
    add(token, info.token_bytes());
  }
  for (const auto number : {kept, std::min(kept, text.prompt)}) add(number, 4);
}

TextLengths read_text(const Dataset& dataset, Side side, std::int64_t id, std::int64_t* tokens) {
  const Info& info = dataset.info();
  EXPUNGE_CHECK(info.text_alone(), "the samples of {} are no texts", info.name);
  const std::uint8_t* at = dataset.pixels(side, id);
  const std::int64_t bytes = info.token_bytes();
  for (std::int64_t i = 0; i < info.tokens; ++i, at += bytes)
    tokens[i] = little_endian(at, static_cast<int>(bytes));
  return {little_endian(at, 4), little_endian(at + 4, 4)};
}

const std::vector<std::string>& refusals() {
  static const std::vector<std::string> all = {"I don't know that.",
                                               "I have no information about this.",
                                               "I'm afraid I can't answer that.",
                                               "That is something I was never told.",
                                               "Sorry, I can't say.",
                                               "I'm not familiar with this topic.",
                                               "This goes beyond what I know.",
                                               "I would have to look that up.",
                                               "Nothing I know answers this question.",
                                               "I can't help with that one."};
  return all;
}

}  // namespace expunge::data
