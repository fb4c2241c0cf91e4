// Putting the parts of a tokenizer together.
#pragma once

#include "data/tokenizers/tokenizer.hpp"

namespace expunge::data {

std::int32_t find_token(const Vocabulary& vocabulary, const std::string& text);  // -1: not there
// DataError 65 with `place` when it is not there.
std::int32_t require_token(const Vocabulary& vocabulary, const std::string& text, const std::string& place);

// Makes an entry of the vocabulary a special token that is found in texts.
AddedToken& add_special(TokenizerParts& parts, std::int32_t id);

// BEGIN A END and BEGIN A END B END; with `doubled` BEGIN A END END B END, all of segment 0 (RoBERTa). A
// begin or end of -1 is left out.
void surround(TokenizerParts& parts, std::int32_t begin, std::int32_t end, bool doubled);

}  // namespace expunge::data
