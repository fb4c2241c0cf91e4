// tokenizer.json of the `tokenizers` package.
#pragma once

#include <nlohmann/json.hpp>

#include "data/tokenizers/tokenizer.hpp"

namespace expunge::data {

// DataError 65 with `place` and the component's name for what these tokenizers do not have.
TokenizerParts parts_of_json(const nlohmann::json& text, const std::string& place);

}  // namespace expunge::data
