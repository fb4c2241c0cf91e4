// Hugging Face folders: config.json and weights.
#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "models/config_json.hpp"
#include "models/folder.hpp"
#include "models/torch/model.hpp"
#include "tensor/checkpoint.hpp"
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

// Older files do not count batches, newer ones leave Swin's constant table out.
bool may_be_absent(const std::string& name) {
  return name.find("num_batches_tracked") != std::string::npos ||
         name.find("relative_position_index") != std::string::npos;
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

// Outside the backbone, as far as names tell.
bool in_head(const Model& model, const std::string& name) {
  const auto prefix = model.base_prefix(), head = model.head_prefix();
  return prefix.empty() ? !head.empty() && name.starts_with(head + ".") : !name.starts_with(prefix + ".");
}

// A sum is not finite when a value is not; where it is not, the values are looked at one by one.
bool all_finite(const torch::Tensor& value) {
  if (!value.is_floating_point() || value.numel() == 0) return true;
  const torch::NoGradGuard no_grad;
  return std::isfinite(value.sum(torch::kFloat).item<float>()) || at::isfinite(value).all().item<bool>();
}

// The same memory under another name, which the file has.
bool tied(const torch::Tensor& value, const std::vector<std::pair<torch::Tensor, torch::Tensor>>& copies) {
  return std::any_of(copies.begin(), copies.end(), [&](const auto& copy) {
    return value.numel() > 0 && copy.first.data_ptr() == value.data_ptr();
  });
}

}  // namespace

nlohmann::json read_config(const std::filesystem::path& folder) { return read_model_config(folder); }

LoadReport load_weights(Model& model, const std::filesystem::path& folder, bool fresh_head) {
  check_settings(model, read_config(folder), (folder / "config.json").string());
  return load_tensors(model, folder, fresh_head);
}

LoadReport load_tensors(Model& model, const std::filesystem::path& path, bool fresh_head) {
  const auto file = tensor::read_checkpoint(path);
  auto wanted = state_of(model);
  const std::string prefix = model.base_prefix();
  std::vector<std::pair<torch::Tensor, torch::Tensor>> copies;
  std::vector<std::string> problems;
  LoadReport report;
  for (const auto& [raw, value] : file.tensors) {
    const auto name = modern_name(raw, wanted, prefix);
    const auto found = wanted.find(name);
    if (found == wanted.end()) {
      (model.ignores(raw) ? report.unexpected : problems)
          .push_back(model.ignores(raw) ? raw : "unexpected " + raw);
      continue;
    }
    const torch::Tensor& target = found->second;
    if (fresh_head && in_head(model, name) && target.sizes() != value.sizes()) continue;
    if (target.sizes() != value.sizes())
      problems.push_back(fmt::format(
          "{} has shape {}, the model's is {}{}", raw, shape_text(value.sizes()), shape_text(target.sizes()),
          in_head(model, name) ? " (another number of classes: load with a fresh head)" : ""));
    else if (target.is_floating_point() != value.is_floating_point())
      problems.push_back(
          fmt::format("{} holds {}", raw,
                      value.is_floating_point() ? "floats, expected integers" : "integers, expected floats"));
    else if (target.scalar_type() != value.scalar_type())
      report.converted.push_back(raw);
    if (!all_finite(value)) report.not_finite.push_back(raw);
    copies.emplace_back(target, value);
    wanted.erase(found);
  }
  for (const auto& [name, value] : wanted) {
    // Backbones are published with and without a pooler.
    if (fresh_head && (in_head(model, name) || name.find(".pooler.") != std::string::npos))
      report.fresh.push_back(name);
    else if (may_be_absent(name) || tied(value, copies))
      report.missing.push_back(name);
    else
      problems.push_back("missing " + name);
  }
  if (!problems.empty()) {
    const auto count = problems.size();
    throw DataError::corrupt(fmt::format("{}: {} tensor{} not fit the model: {}", path.string(), count,
                                         count == 1 ? " does" : "s do", join(problems, "; ")));
  }
  if (!report.not_finite.empty())
    log::warn("{}: NaN or infinite values in {}", path.string(), join(report.not_finite, ", "));
  const torch::NoGradGuard no_grad;
  for (auto& [target, value] : copies) target.copy_(value);
  return report;
}

void save(const Model& model, const std::filesystem::path& folder,
          const std::map<std::string, std::string>& metadata) {
  make_folder(folder);
  tensor::write_safetensors(folder / "model.safetensors", state_of(model), metadata);
  write_file_atomic(folder / "config.json", model.config().dump(2) + "\n");
}

}  // namespace expunge::models
