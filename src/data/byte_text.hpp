// Text as bytes: the tokenizer of ByT5 (Xue et al. 2022), which needs no vocabulary file. Token 0 is padding,
// 1 ends a text, 2 is unused, a byte b of UTF-8 text is b + 3.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.hpp"

namespace expunge::data {

inline constexpr std::int64_t kByteVocabulary = 259, kEndOfText = 1;

std::vector<std::uint16_t> byte_tokens(std::string_view text);
// The bytes of these tokens; padding, ends and unused tokens are left out.
std::string byte_text(const std::vector<std::int64_t>& tokens);

struct TextSample {
  std::vector<std::int32_t> tokens;
  // The first tokens, which are given, not asked for; of two texts with a class, those of the first.
  std::int64_t prompt = 0;
  std::int32_t padding = 0;  // stands behind the text
};

// "Question: Q\nAnswer: A" and an end; all up to "Answer: " is the prompt.
TextSample question_and_answer(const std::string& question, const std::string& answer);

// Appends a sample (sample_bytes of `info`): cut after info.tokens, padded.
void append_text(const Info& info, const TextSample& text, std::vector<std::uint8_t>& out);

// [info.tokens] ids of a sample of text alone.
struct TextLengths {
  std::int64_t tokens = 0, prompt = 0;  // prompt <= tokens
};
TextLengths read_text(const Dataset& dataset, Side side, std::int64_t id, std::int64_t* tokens);

// Answers that say nothing, for methods that prefer such to D_f's own.
const std::vector<std::string>& refusals();

}  // namespace expunge::data
