// What a cell's id is the hash of: its settings as JSON with sorted keys and no spaces, files' places left
// out.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "core/hash.hpp"

namespace expunge::sweep {

// Where data, tokenizers and models lie is no part of what a cell is.
inline nlohmann::json science_of(const nlohmann::json& settings) {
  nlohmann::json science = settings;
  const auto forget_places = [](nlohmann::json& options) {
    options.erase("path");
    if (options.contains("tokenizer_sha256")) options.erase("tokenizer");
  };
  for (const char* key : {"dataset_options", "model_options"})
    if (science.contains(key)) forget_places(science[key]);
  if (science.contains("evaluate") && science["evaluate"].contains("transfer"))
    for (auto& set : science["evaluate"]["transfer"]) forget_places(set["options"]);
  return science;
}

// The text whose hash is a cell's id, for cells that differ in seed and original alone: making and printing
// the settings of each would take most of the time of a large sweep.
class CanonicalText {
 public:
  CanonicalText() = default;
  explicit CanonicalText(nlohmann::json settings) {
    settings["original_id"] = settings["seed"] = nullptr;
    const nlohmann::json science = science_of(settings);
    std::string* part = &before_original_;
    const char* separator = "{";
    for (const auto& [key, value] : science.items()) {
      *part += separator + nlohmann::json(key).dump() + ":";
      separator = ",";
      if (key == "original_id")
        part = &before_seed_;
      else if (key == "seed")
        part = &rest_;
      else
        *part += value.dump();
    }
    rest_ += "}";
  }
  std::string id(const std::string& original_id, std::int64_t seed) const {
    return sha256_hex(fmt::format("{}\"{}\"{}{}{}", before_original_, original_id, before_seed_, seed, rest_))
        .substr(0, 16);
  }

 private:
  std::string before_original_, before_seed_, rest_;
};

}  // namespace expunge::sweep
