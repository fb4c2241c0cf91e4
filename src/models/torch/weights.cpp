// Hugging Face folders: config.json and model.safetensors.
#include <algorithm>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "models/config_json.hpp"
#include "models/torch/model.hpp"
#include "tensor/safetensors.hpp"

namespace expunge::models {
namespace {

std::map<std::string, torch::Tensor> state_of(const Model& model) {
  std::map<std::string, torch::Tensor> out;
  for (const auto& p : model.named_parameters()) out[p.key()] = p.value();
  for (const auto& b : model.named_buffers()) out[b.key()] = b.value();
  return out;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

// The model's name of a file's tensor; the file's own where none fits. Order: as it is; without the wrapper's
// "module."; 2019's LayerNorm.gamma and beta; with the base prefix added; with it removed.
std::string modern_name(std::string name, const std::map<std::string, torch::Tensor>& wanted,
                        const std::string& prefix) {
  if (wanted.count(name)) return name;
  if (name.rfind("module.", 0) == 0) name = name.substr(7);
  replace_all(name, "gamma", "weight");
  replace_all(name, "beta", "bias");
  if (wanted.count(name) || prefix.empty()) return name;
  if (wanted.count(prefix + "." + name)) return prefix + "." + name;
  if (name.rfind(prefix + ".", 0) == 0 && wanted.count(name.substr(prefix.size() + 1)))
    return name.substr(prefix.size() + 1);
  return name;
}

std::string shape_text(torch::IntArrayRef shape) {
  std::vector<std::string> sizes;
  for (auto d : shape) sizes.push_back(std::to_string(d));
  return "[" + join(sizes, ", ") + "]";
}

void check_settings(const Model& model, const nlohmann::json& config, const std::string& path) {
  const auto have = field<std::string>(config, "model_type", ""),
             want = field<std::string>(model.config(), "model_type", "");
  if (have != want)
    throw DataError::corrupt(fmt::format("{}: model_type is \"{}\", expected \"{}\"", path, have, want));
  const auto theirs = model.shapeless_settings(config), ours = model.shapeless_settings(model.config());
  for (const auto& [key, value] : ours.items())
    if (theirs.at(key) != value)
      throw DataError::corrupt(
          fmt::format("{}: {} is {}, expected {}", path, key, theirs.at(key).dump(), value.dump()));
}

}  // namespace

nlohmann::json read_config(const std::filesystem::path& folder) {
  const auto path = folder / "config.json";
  try {
    auto config = nlohmann::json::parse(read_file(path));
    if (!config.is_object()) throw DataError::corrupt(fmt::format("{}: not a JSON object", path.string()));
    return config;
  } catch (const nlohmann::json::exception& error) {
    throw DataError::corrupt(fmt::format("{}: not JSON ({})", path.string(), error.what()));
  }
}

void load_weights(Model& model, const std::filesystem::path& folder) {
  check_settings(model, read_config(folder), (folder / "config.json").string());
  load_tensors(model, folder / "model.safetensors");
}

void load_tensors(Model& model, const std::filesystem::path& path) {
  const auto file = tensor::read_safetensors(path);
  auto wanted = state_of(model);
  const std::string prefix = model.base_prefix();
  std::vector<std::pair<torch::Tensor, torch::Tensor>> copies;
  std::vector<std::string> problems;
  for (const auto& [raw, value] : file.tensors) {
    const auto name = modern_name(raw, wanted, prefix);
    const auto found = wanted.find(name);
    if (found == wanted.end()) {
      if (!model.ignores(raw)) problems.push_back("unexpected " + raw);
      continue;
    }
    const torch::Tensor& target = found->second;
    if (target.sizes() != value.sizes())
      problems.push_back(fmt::format("{} has shape {}, the model's is {}", raw, shape_text(value.sizes()),
                                     shape_text(target.sizes())));
    else if (target.is_floating_point() != value.is_floating_point())
      problems.push_back(
          fmt::format("{} holds {}", raw,
                      value.is_floating_point() ? "floats, expected integers" : "integers, expected floats"));
    copies.emplace_back(target, value);
    wanted.erase(found);
  }
  for (const auto& [name, value] : wanted)  // older files do not count batches
    if (name.find("num_batches_tracked") == std::string::npos) problems.push_back("missing " + name);
  if (!problems.empty()) {
    const auto count = problems.size();
    throw DataError::corrupt(fmt::format("{}: {} tensor{} not fit the model: {}", path.string(), count,
                                         count == 1 ? " does" : "s do", join(problems, "; ")));
  }
  const torch::NoGradGuard no_grad;
  for (auto& [target, value] : copies) target.copy_(value);
}

void save(const Model& model, const std::filesystem::path& folder,
          const std::map<std::string, std::string>& metadata) {
  make_folder(folder);
  tensor::write_safetensors(folder / "model.safetensors", state_of(model), metadata);
  write_file_atomic(folder / "config.json", model.config().dump(2) + "\n");
}

}  // namespace expunge::models
