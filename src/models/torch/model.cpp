#include "models/torch/model.hpp"

#include "core/error.hpp"
#include "core/text.hpp"
#include "models/config_json.hpp"
#include "models/torch/blocks.hpp"
#include "models/torch/recorder.hpp"

namespace expunge::models {
namespace {

std::map<std::string, Builder>& builders() {
  static std::map<std::string, Builder> all;
  return all;
}

}  // namespace

BatchNorm::BatchNorm(std::int64_t channels, double e, double m) : eps(e), momentum(m) {
  weight = register_parameter("weight", torch::ones({channels}));
  bias = register_parameter("bias", torch::zeros({channels}));
  running_mean = register_buffer("running_mean", torch::zeros({channels}));
  running_var = register_buffer("running_var", torch::ones({channels}));
  num_batches_tracked = register_buffer("num_batches_tracked", torch::zeros({}, torch::kLong));
}

torch::Tensor BatchNorm::forward(const torch::Tensor& x) {
  const bool one_value = x.numel() == x.size(1);  // a grain's statistics of one value would be 0/0
  if (!is_training() || frozen || one_value) {
    if (one_value && is_training() && !frozen &&
        batch_mean.defined()) {  // leaves the running statistics as they are
      const torch::NoGradGuard no_grad;
      batch_mean.copy_(running_mean);
      batch_var.copy_(running_var);
    }
    const torch::Tensor y =
        at::batch_norm(x, weight, bias, running_mean, running_var, false, 0, eps, x.is_cuda());
    if (Recorder* r = Recorder::active()) {
      const torch::NoGradGuard no_grad;
      const torch::Tensor normalised =
          at::batch_norm(x, {}, {}, running_mean, running_var, false, 0, eps, x.is_cuda());
      r->uses.push_back({LayerUse::kScale, weight, bias, normalised, y, 1});
    }
    return y;
  }
  // With momentum 1 the "running" arguments receive exactly this grain's statistics.
  return at::batch_norm(x, weight, bias, batch_mean, batch_var, true, 1.0, eps, x.is_cuda());
}

void Model::insert_adapters(const std::string& prefix, std::int64_t width, const Rng& rng) {
  for (const AdapterSite& site : adapter_sites())
    insert(prefix, site.name, std::make_shared<Adapter>(site.width, width, rng.sub(site.name)));
}

void Model::insert(const std::string& prefix, const std::string& site, std::shared_ptr<Insertion> module) {
  EXPUNGE_CHECK(!inserted_.count(site), "{} has an insertion at {} already", prefix, site);
  inserted_[site] = place(*this, prefix + "." + site, std::move(module));
}

torch::Tensor Model::adapted(const std::string& site, const torch::Tensor& x, const Tensors& inputs) const {
  const auto found = inserted_.find(site);
  return found == inserted_.end() ? x : found->second->forward(x, inputs);
}

torch::Tensor Model::passed_on(const std::string& site, const torch::Tensor& x) const {
  const auto found = inserted_.find(site);
  return found != inserted_.end() && found->second->ends_gradient() ? x.detach() : x;
}

void Model::adopt_batch_norms() {
  for (const auto& m : modules(false))
    if (auto* bn = dynamic_cast<BatchNorm*>(m.get())) batch_norms_.push_back(bn);
}

RegisterBuilder::RegisterBuilder(std::string model_type, Builder builder) {
  builders()[std::move(model_type)] = builder;
}

std::shared_ptr<Model> build(const nlohmann::json& config) {
  const auto type = field<std::string>(config, "model_type", "");
  const auto found = builders().find(type);
  if (found == builders().end()) {
    std::vector<std::string> known;
    for (const auto& [name, unused] : builders()) known.push_back(name);
    throw ConfigError(
        fmt::format("config.json: unknown model_type \"{}\"{}", type, did_you_mean(type, known)));
  }
  try {
    return found->second(config);
  } catch (const nlohmann::json::exception& error) {
    throw DataError::corrupt(fmt::format("config.json of a {}: {}", type, error.what()));
  }
}

}  // namespace expunge::models
