// The engine's view of a model: a torch module whose state_dict has the Hugging Face names of its family.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/rng.hpp"
#include "tensor/torch.hpp"

namespace expunge::models {

// Named tensors. Inputs: "pixel_values" [n, C, H, W] float. Outputs: "logits" [n, classes] and the family's
// named features: "features" [n, positions, channels], the last map, and "pooled" [n, channels], what the
// classifier reads (a convolutional network's mean over positions).
using Tensors = std::map<std::string, torch::Tensor>;

class BatchNorm;

// A place in a network after which an adapter may be inserted, and the channels there.
struct AdapterSite {
  std::string name;
  std::int64_t width = 0;
};

// What a method inserts at a site: a map of what the network holds there.
class Insertion : public torch::nn::Module {
 public:
  // `inputs`: of the network's forward pass.
  virtual torch::Tensor forward(const torch::Tensor& x, const Tensors& inputs) = 0;
  // True when no gradient passes from later layers into what stands before them (layerwise training).
  virtual bool ends_gradient() const { return false; }
};

class Model : public torch::nn::Module {
 public:
  virtual Tensors forward(const Tensors& inputs) = 0;
  // Fresh values for every parameter and buffer, with the family's training-time initialiser. Element j of
  // tensor `name` is a function of (rng, name, j) alone.
  virtual void initialize(const Rng& rng) = 0;

  // True when training draws random numbers inside the network (dropout, DropPath).
  virtual bool has_dropout() const { return false; }

  // Prefix of the classifier's tensors ("linear"): PREFIX.weight [classes, width] and PREFIX.bias [classes]
  // turn the output "pooled" into "logits". Empty where there is no such layer.
  virtual std::string head_prefix() const { return {}; }

  // Where adapters may be inserted: after each block.
  virtual std::vector<AdapterSite> adapter_sites() const { return {}; }
  // Inserts one of this inner width at every site, registered as PREFIX.SITE. Their outputs are bit for bit
  // their inputs until they are trained. InternalError when there are some already.
  void insert_adapters(const std::string& prefix, std::int64_t width, const Rng& rng);
  // Inserts a module at one site, registered as PREFIX.SITE.
  void insert(const std::string& prefix, const std::string& site, std::shared_ptr<Insertion> module);

  // What loading needs to know of a family. The prefix of its backbone's tensors ("vit"), which files of a
  // bare backbone lack:
  virtual std::string base_prefix() const { return {}; }
  // tensors of published files that it does not use:
  virtual bool ignores(const std::string& name) const {
    return name.find("position_ids") != std::string::npos;
  }
  // and the fields of a config.json, defaults filled in, that change results without changing the shape of
  // any tensor.
  virtual nlohmann::json shapeless_settings(const nlohmann::json& config) const {
    (void)config;
    return nlohmann::json::object();
  }

  const nlohmann::json& config() const { return config_; }
  // In the order of registration; empty for models without BatchNorm.
  const std::vector<BatchNorm*>& batch_norms() const { return batch_norms_; }

 protected:
  explicit Model(nlohmann::json config) : config_(std::move(config)) {}
  // x [n, C, H, W] or [n, ..., C] after what was inserted at this site; x itself where there is nothing.
  torch::Tensor adapted(const std::string& site, const torch::Tensor& x, const Tensors& inputs = {}) const;
  // What the layer behind this site reads of x: the same values.
  torch::Tensor passed_on(const std::string& site, const torch::Tensor& x) const;
  void adopt_batch_norms();  // fills batch_norms_ from the module tree; call last in the constructor
  nlohmann::json config_;
  std::vector<BatchNorm*> batch_norms_;

 private:
  std::map<std::string, std::shared_ptr<Insertion>> inserted_;
};

// BatchNorm over [n, C, ...] with Hugging Face's buffer names. It never updates its running statistics in
// forward: the engine does, once a step, from the statistics that the grains leave in
// `batch_mean`/`batch_var` (design: grains).
class BatchNorm : public torch::nn::Module {
 public:
  BatchNorm(std::int64_t channels, double eps, double momentum);
  // Grain statistics when is_training() and not frozen, else running statistics. One value per channel:
  // running statistics.
  torch::Tensor forward(const torch::Tensor& x);

  torch::Tensor weight, bias, running_mean, running_var, num_batches_tracked;
  // Scratch that receives the grain's mean and unbiased variance ([C], float). The owner must zero it before
  // each forward; undefined tensors mean: do not record.
  torch::Tensor batch_mean, batch_var;
  bool frozen = false;
  double eps, momentum;
};

// Builds an uninitialised model from its config.json. ConfigError names the unknown model_type, DataError 65
// a malformed field.
std::shared_ptr<Model> build(const nlohmann::json& config);

using Builder = std::shared_ptr<Model> (*)(const nlohmann::json& config);
struct RegisterBuilder {
  RegisterBuilder(std::string model_type, Builder builder);
};

// What loading did beyond copying tensors of the model's own names and types.
struct LoadReport {
  std::vector<std::string>
      missing;  // the model's, which the file may lack, or which share memory with one it has
  std::vector<std::string> unexpected;  // the file's, which this family ignores
  std::vector<std::string> fresh;       // of the head, left as they were (fresh_head)
  std::vector<std::string> converted;   // from another floating-point type
  std::vector<std::string> not_finite;  // with NaN or infinite values; also warned of
};

// Hugging Face folder: config.json and the weights, in any form that tensor/checkpoint.hpp reads. Loading
// repairs names (wrapper prefix "module.", gamma/beta, a missing or superfluous base prefix) and converts
// floats to the model's dtype; it checks everything before it writes anything and throws DataError 65 naming
// every missing, unexpected or misshapen tensor, and DataError 66 when files are absent. Another
// architecture's config.json, or settings that differ from the model's, are DataError 65. `load_tensors`
// takes weights alone (a file or a folder), without a config.json; with `fresh_head` the tensors outside the
// backbone may be missing or of another shape (another number of classes) and keep the model's values. `save`
// writes both files atomically, model.safetensors first.
nlohmann::json read_config(const std::filesystem::path& folder);
LoadReport load_weights(Model& model, const std::filesystem::path& folder, bool fresh_head = false);
LoadReport load_tensors(Model& model, const std::filesystem::path& path, bool fresh_head = false);
void save(const Model& model, const std::filesystem::path& folder,
          const std::map<std::string, std::string>& metadata = {});

}  // namespace expunge::models
