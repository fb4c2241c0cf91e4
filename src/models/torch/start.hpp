// The weights that a model of a user's own starts from.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "models/folder.hpp"
#include "models/torch/model.hpp"

namespace expunge::models {

// Loads the folder that was chosen into an initialised model (nothing to do where none was); a new head keeps
// its initial values even where the folder has one of its shape. DataError as load_weights.
void load_start(Model& model, const Chosen& chosen);

// `save`, with the small files beside a checkpoint that other programs need to use it (`companions`:
// vocabulary, preprocessor), as they are. False, and nothing written, for a network with tensors that its
// config.json does not tell of (adapters).
bool save_model(const Model& model, const std::filesystem::path& folder,
                const std::vector<std::filesystem::path>& companions,
                const std::map<std::string, std::string>& metadata);

}  // namespace expunge::models
