#include "tensor/flat_parameters.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/hash.hpp"

namespace expunge::tensor {
namespace {

std::int64_t aligned(std::int64_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

bool contains_lower(std::string text, const char* piece) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text.find(piece) != std::string::npos;
}

bool decays(const std::string& name, const torch::Tensor& value, const std::string& rule) {
  if (rule == "all") return true;
  if (rule == "matrices") return value.dim() >= 2;
  const bool is_bias = name.size() >= 4 && name.compare(name.size() - 4, 4, "bias") == 0;
  return !is_bias && !contains_lower(name, "layernorm") && !contains_lower(name, "layer_norm");
}

// Lays the tensors out, copies them in, and makes each a view of the flat buffer.
FlatBuffer flatten(std::vector<std::pair<std::string, torch::Tensor>>& tensors, torch::Device device,
                   const std::string& rule) {
  FlatBuffer flat;
  std::int64_t offset = 0;
  for (const auto& [name, value] : tensors) {
    EXPUNGE_CHECK(value.scalar_type() == torch::kFloat, "{} is not float32", name);
    flat.entries.push_back({name, offset, value.numel(), value.sizes().vec(), decays(name, value, rule)});
    offset += aligned(value.numel());
  }
  flat.values = torch::zeros({offset}, torch::TensorOptions().dtype(torch::kFloat).device(device));
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    torch::Tensor window = flat.view(i);
    window.copy_(tensors[i].second.detach());
    tensors[i].second.set_data(window);
  }
  return flat;
}

void add_to_hash(std::string& digest, const FlatBuffer& flat) {
  const torch::Tensor host =
      flat.values.defined() ? flat.values.to(torch::kCPU).contiguous() : torch::Tensor();
  for (const auto& e : flat.entries) {
    digest += e.name;
    for (auto s : e.shape) digest += fmt::format(" {}", s);
    digest +=
        ' ' +
        xxh128_hex(host.data_ptr<float>() + e.offset, static_cast<std::size_t>(e.numel) * sizeof(float)) +
        '\n';
  }
}

}  // namespace

std::int64_t FlatBuffer::numel() const {
  std::int64_t n = 0;
  for (const auto& e : entries) n += e.numel;
  return n;
}

torch::Tensor FlatBuffer::view_of(const torch::Tensor& flat, std::size_t entry) const {
  const auto& e = entries[entry];
  return flat.narrow(0, e.offset, e.numel).view(e.shape);
}

FlatParameters::FlatParameters(torch::nn::Module& module, torch::Device device,
                               const std::function<bool(const std::string&)>& is_trainable,
                               const std::string& decay) {
  const torch::NoGradGuard no_grad;
  std::vector<std::pair<std::string, torch::Tensor>> train, keep, state;
  for (auto& p : module.named_parameters())
    (is_trainable(p.key()) ? train : keep).emplace_back(p.key(), p.value());
  for (auto& b : module.named_buffers())
    if (b.value().is_floating_point()) state.emplace_back(b.key(), b.value());
  trainable = flatten(train, device, decay);
  frozen = flatten(keep, device, decay);
  buffers = flatten(state, device, decay);
  for (auto& [name, p] : train) {
    p.set_requires_grad(true);
    trainable_parameters_.push_back(p);
  }
  for (auto& [name, p] : keep) p.set_requires_grad(false);
  sink_ = std::make_unique<GradientSink>(trainable_parameters_, trainable);
}

void FlatParameters::bind_gradients(const torch::Tensor& gradient) {
  if (bound_.defined() && bound_.data_ptr() == gradient.data_ptr()) return;
  for (std::size_t i = 0; i < trainable_parameters_.size(); ++i)
    trainable_parameters_[i].mutable_grad() = trainable.view_of(gradient, i);
  bound_ = gradient;
}

std::string FlatParameters::hash() const {
  std::string digest;
  add_to_hash(digest, trainable);
  add_to_hash(digest, frozen);
  add_to_hash(digest, buffers);
  return xxh128_hex(digest.data(), digest.size());
}

void copy_values(const FlatParameters& from, FlatParameters& into) {
  const torch::NoGradGuard no_grad;
  for (auto [a, b] : {std::pair{&from.trainable, &into.trainable},
                      {&from.frozen, &into.frozen},
                      {&from.buffers, &into.buffers}}) {
    EXPUNGE_CHECK(a->size() == b->size(), "flat layouts differ: {} and {} floats", a->size(), b->size());
    if (a->size() > 0) b->values.copy_(a->values);
  }
}

}  // namespace expunge::tensor
