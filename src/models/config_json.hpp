// Fields of a Hugging Face config.json that the families share. Torch-free.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/error.hpp"

namespace expunge::models {

// Hugging Face writes only what differs from the class's default, so an absent or null field means
// `fallback`. DataError 65 names a field of another type.
template <class T>
T field(const nlohmann::json& config, const std::string& name, const T& fallback) {
  const auto found = config.find(name);
  if (found == config.end() || found->is_null()) return fallback;
  try {
    return found->get<T>();
  } catch (const nlohmann::json::exception&) {
    throw DataError::corrupt(fmt::format("config.json: {} cannot be {}", name, found->dump()));
  }
}

// A size: a positive integer.
inline std::int64_t size_field(const nlohmann::json& config, const std::string& name, std::int64_t fallback) {
  const auto found = config.find(name);
  if (found == config.end() || found->is_null()) return fallback;
  if (!found->is_number_integer() || found->get<std::int64_t>() < 1 ||
      found->get<std::int64_t>() > 1'000'000'000)
    throw DataError::corrupt(
        fmt::format("config.json: {} is {}, expected a positive integer", name, found->dump()));
  return found->get<std::int64_t>();
}

// Number of classes: num_labels, else the length of id2label, else Hugging Face's default of 2.
inline std::int64_t class_count(const nlohmann::json& config) {
  const auto labels = config.find("id2label");
  const bool listed = labels != config.end() && !labels->empty();
  return size_field(config, "num_labels", listed ? static_cast<std::int64_t>(labels->size()) : 2);
}

// Adds id2label and label2id with the names LABEL_0 ...
inline void add_labels(nlohmann::json& config, std::int64_t classes) {
  auto& ids = config["id2label"] = nlohmann::json::object();
  auto& labels = config["label2id"] = nlohmann::json::object();
  for (std::int64_t k = 0; k < classes; ++k) {
    ids[std::to_string(k)] = "LABEL_" + std::to_string(k);
    labels["LABEL_" + std::to_string(k)] = k;
  }
}

}  // namespace expunge::models
