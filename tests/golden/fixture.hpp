// Reference values on tiny random models: FAMILY*.safetensors in $EXPUNGE_GOLDEN_DIR, with the state dict
// (sd.*), inputs (in.*), outputs (out.*) and metadata (config.json, loss, gradient norms).
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/torch/model.hpp"
#include "tensor/safetensors.hpp"

namespace expunge::test {

inline std::filesystem::path golden_folder() {
  const char* given = std::getenv("EXPUNGE_GOLDEN_DIR");
  return given ? given : EXPUNGE_SOURCE_DIR "/../shared/golden";
}

// Families of which every fixture is run. A new family is added here, with its first letters as the fixtures
// spell them.
inline const std::vector<std::string> kFamilies = {
    "resnet_basic", "resnet_bottleneck", "eps_resnet_basic", "vit",        "eps_vit",        "mobilenet_v2",
    "convnext",     "eps_convnext",      "eps_mobilenet_v2", "swin",       "eps_swin",       "bert",
    "eps_bert",     "electra",           "eps_electra",      "roberta",    "eps_roberta",    "distilbert",
    "albert",       "eps_distilbert",    "eps_albert",       "deberta_v3", "eps_deberta_v3", "llama",
    "eps_llama"};

// Names (without ".safetensors") of the families' fixtures: exactly FAMILY, or FAMILY_...; `trajectory` picks
// the *_train20 ones.
inline std::vector<std::string> fixtures(bool trajectory) {
  std::vector<std::string> out;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder(), absent)) {
    if (entry.path().extension() != ".safetensors") continue;
    const std::string name = entry.path().stem().string();
    if (name.ends_with("_train20") != trajectory) continue;
    for (const auto& family : kFamilies)
      if (name == family || name.rfind(family + "_", 0) == 0) {
        out.push_back(name);
        break;
      }
  }
  std::sort(out.begin(), out.end());
  return out;
}

struct Fixture {
  explicit Fixture(const std::string& name)
      : file(tensor::read_safetensors(golden_folder() / (name + ".safetensors"))),
        config(nlohmann::json::parse(file.metadata.at("config"))) {}

  // Tensors whose names begin with `prefix`, without it.
  models::Tensors part(const std::string& prefix) const {
    models::Tensors out;
    for (const auto& [name, value] : file.tensors)
      if (name.rfind(prefix, 0) == 0) out[name.substr(prefix.size())] = value;
    return out;
  }
  nlohmann::json json(const std::string& key) const { return nlohmann::json::parse(file.metadata.at(key)); }

  // The model with the fixture's weights; its state dict has exactly the fixture's names.
  std::shared_ptr<models::Model> model() const;

  tensor::Safetensors file;
  nlohmann::json config;
};

}  // namespace expunge::test
