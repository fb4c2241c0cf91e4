// Which splits a cell's resolved settings `evaluate` ask for.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>

namespace expunge::sweep {

// `evaluate.splits`; where it is absent, all splits.
inline bool is_evaluated(const nlohmann::json& evaluate, const char* split) {
  const auto asked = evaluate.find("splits");
  return asked == evaluate.end() || std::find(asked->begin(), asked->end(), split) != asked->end();
}

}  // namespace expunge::sweep
