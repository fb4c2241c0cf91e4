#include "models/torch/start.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/files.hpp"

namespace expunge::models {
namespace {

bool in_head(const Model& model, const Descriptor& family, const std::string& tensor) {
  if (family.head.empty())
    return !model.head_prefix().empty() && tensor.starts_with(model.head_prefix() + ".");
  return std::any_of(family.head.begin(), family.head.end(),
                     [&](const std::string& prefix) { return tensor.starts_with(prefix); });
}

std::vector<std::string> names_of(const Model& model) {
  std::vector<std::string> out;
  for (const auto& p : model.named_parameters()) out.push_back(p.key());
  for (const auto& b : model.named_buffers()) out.push_back(b.key());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

void load_start(Model& model, const Chosen& chosen) {
  if (chosen.weights.empty()) return;
  const torch::NoGradGuard no_grad;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> fresh;
  if (chosen.new_head)
    for (const auto& p : model.named_parameters())
      if (in_head(model, *chosen.descriptor, p.key())) fresh.emplace_back(p.value(), p.value().clone());
  try {
    load_weights(model, chosen.weights, chosen.new_head);
  } catch (const DataError& error) {
    const std::string text = error.what();
    const bool headless = !chosen.new_head && text.find("missing ") != std::string::npos;
    throw DataError(
        error.exit_code(),
        headless ? text + "; head = \"new\" in the model's section starts a new classifier" : text);
  }
  for (const auto& [parameter, value] : fresh) parameter.copy_(value);
}

bool save_model(const Model& model, const std::filesystem::path& folder,
                const std::vector<std::filesystem::path>& companions,
                const std::map<std::string, std::string>& metadata) {
  if (names_of(model) != names_of(*build(model.config()))) return false;
  save(model, folder, metadata);
  for (const auto& file : companions) write_file_atomic(folder / file.filename(), read_file(file));
  return true;
}

}  // namespace expunge::models
