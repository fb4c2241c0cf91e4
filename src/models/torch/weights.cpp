// Hugging Face folders: config.json and model.safetensors.
#include <algorithm>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
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
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
}

// Names of 2019 checkpoints and of wrappers: LayerNorm.gamma/beta, a leading "module.", a missing or superfluous base prefix.
std::string modern_name(std::string name, const std::map<std::string, torch::Tensor>& wanted) {
  if (wanted.count(name)) return name;
  if (name.rfind("module.", 0) == 0) name = name.substr(7);
  replace_all(name, "gamma", "weight");
  replace_all(name, "beta", "bias");
  if (wanted.count(name)) return name;
  for (const auto& [want, unused] : wanted) {
    const auto dot = want.find('.');
    if (dot != std::string::npos && want.compare(dot + 1, std::string::npos, name) == 0) return want;   // prefix missing in the file
  }
  const auto dot = name.find('.');
  if (dot != std::string::npos && wanted.count(name.substr(dot + 1))) return name.substr(dot + 1);      // prefix superfluous
  return name;
}

std::string shape_text(torch::IntArrayRef shape) {
  std::vector<std::string> sizes;
  for (auto d : shape) sizes.push_back(std::to_string(d));
  return "[" + join(sizes, ", ") + "]";
}

}  // namespace

nlohmann::json read_config(const std::filesystem::path& folder) {
  const auto path = folder / "config.json";
  try {
    return nlohmann::json::parse(read_file(path));
  } catch (const nlohmann::json::exception& error) {
    throw DataError::corrupt(fmt::format("{}: not JSON ({})", path.string(), error.what()));
  }
}

void load_weights(Model& model, const std::filesystem::path& folder) {
  const auto config = read_config(folder);
  const auto have = config.value("model_type", ""), want = model.config().value("model_type", "");
  if (have != want)
    throw DataError::corrupt(fmt::format("{}: model_type is \"{}\", expected \"{}\"", (folder / "config.json").string(), have, want));
  const auto path = folder / "model.safetensors";
  const auto file = tensor::read_safetensors(path);
  auto wanted = state_of(model);
  std::vector<std::string> problems;
  const torch::NoGradGuard no_grad;
  for (const auto& [raw, value] : file.tensors) {
    const auto name = modern_name(raw, wanted);
    const auto found = wanted.find(name);
    if (found == wanted.end()) {
      problems.push_back("unexpected " + raw);
      continue;
    }
    if (found->second.sizes() != value.sizes())
      problems.push_back(fmt::format("{} has shape {}, the model's is {}", raw, shape_text(value.sizes()), shape_text(found->second.sizes())));
    else
      found->second.copy_(value);
    wanted.erase(found);
  }
  for (const auto& [name, value] : wanted)
    if (name.find("num_batches_tracked") == std::string::npos) problems.push_back("missing " + name);
  if (!problems.empty()) {
    const auto count = problems.size();
    if (count > 20) problems.resize(20);
    throw DataError::corrupt(fmt::format("{}: {} tensors do not fit the model: {}{}", path.string(), count, join(problems, "; "), count > 20 ? "; ..." : ""));
  }
}

void save(const Model& model, const std::filesystem::path& folder, const std::map<std::string, std::string>& metadata) {
  make_folder(folder);
  tensor::write_safetensors(folder / "model.safetensors", state_of(model), metadata);
  write_file_atomic(folder / "config.json", model.config().dump(2) + "\n");
}

}  // namespace expunge::models
