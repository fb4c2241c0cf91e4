// Models of a user's own: Hugging Face folders (config.json and weights) that a job names by path.
// Torch-free.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "models/descriptor.hpp"

namespace expunge::models {

// config.json of a folder. DataError 66 when absent, 65 when it is no JSON object.
nlohmann::json read_model_config(const std::filesystem::path& folder);

// What the folder's model is, wherever it lies: a hash of config.json and of the files of weights. DataError
// 66 for a folder that is not there, or without either.
std::string weights_key(const std::filesystem::path& folder);

// `options`: of a job's [model.NAME]: {} for a registered size with random weights, else "path" (the folder)
// and "head": "keep" the folder's classifier, or start a "new" one for the data set's classes.

// The family of a registered name or of the folder's config.json. ConfigError: an architecture that is not
// known, or another one than the registered name's. DataError as above.
const Descriptor& family_of(const std::string& name, const nlohmann::json& options);

struct Chosen {
  const Descriptor* descriptor = nullptr;
  nlohmann::json config;          // config.json of the model
  std::filesystem::path weights;  // the folder that it starts from; empty: random numbers
  bool new_head = false;
};

// The model for this input. ConfigError, with what to do: another number of classes or no classifier at all
// (without head = "new"), another vocabulary, too few positions, another number of channels or size of
// images.
Chosen choose(const std::string& name, const nlohmann::json& options, const InputShape& input);

}  // namespace expunge::models
