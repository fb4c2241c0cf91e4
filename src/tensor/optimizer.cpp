#include "tensor/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.hpp"
#include "tensor/device_kernels.hpp"
#include "tensor/kernels.hpp"
#include "tensor/untouched.hpp"

namespace expunge::tensor {

Optimizer::Optimizer(const config::OptimizerOptions& options, const FlatBuffer& layout,
                     const DeviceKernels* kernels)
    : options_(options), kernels_(kernels) {
  const torch::Device device = layout.values.device();
  const auto zeros = [&] { return untouched_zeros(layout.size(), device); };
  if (options.name == "sgd") {
    if (options.momentum > 0) state_["momentum"] = zeros();
  } else {
    state_["m"] = zeros();
    state_[options.name == "sophia" ? "h" : "v"] = zeros();
  }
  if (!kernels_ && !device.is_cpu()) kernels_ = device_kernels();
  EXPUNGE_CHECK(kernels_ || device.is_cpu(), "no kernels for device {}", device.str());
  if (!kernels_) return;
  static_assert(kElementsOfByte == kAlignment, "a byte stands for elements of one parameter");
  const torch::Tensor decays = torch::zeros({layout.size() / kAlignment}, torch::kByte);
  for (const auto& e : layout.entries)
    if (e.decays) decays.narrow(0, e.offset / kAlignment, (e.numel + kAlignment - 1) / kAlignment).fill_(1);
  decays_ = decays.to(device);
}

void Optimizer::restore(std::map<std::string, torch::Tensor> state, std::int64_t steps) {
  EXPUNGE_CHECK(state.size() == state_.size(), "optimiser state has {} tensors, expected {}", state.size(),
                state_.size());
  for (auto& [name, value] : state) {
    EXPUNGE_CHECK(state_.count(name) && state_[name].numel() == value.numel(),
                  "optimiser state \"{}\" does not fit", name);
    state_[name].copy_(value);
  }
  steps_ = steps;
}

void Optimizer::step(FlatBuffer& parameters, const torch::Tensor& gradient, double lr_factor,
                     double gradient_scale) {
  step_slice(parameters, gradient, lr_factor, gradient_scale, 0, parameters.size());
}

void Optimizer::step_slice(FlatBuffer& parameters, const torch::Tensor& gradient, double lr_factor,
                           double gradient_scale, std::int64_t first, std::int64_t last) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  const Slice slice{first, last, options_.lr * lr_factor, gradient_scale};
  if (kernels_)
    device_step(parameters, gradient, slice);
  else
    host_step(parameters, gradient, slice);
}

SgdStep Optimizer::sgd(double decay, const Slice& slice) const {
  return {static_cast<float>(slice.lr), static_cast<float>(decay), static_cast<float>(options_.momentum),
          static_cast<float>(slice.scale), steps_ == 1};
}

SophiaStep Optimizer::sophia(double decay, const Slice& slice) const {
  return {static_cast<float>(1 - slice.lr * decay),
          static_cast<float>(options_.beta1),
          static_cast<float>(options_.beta2),
          static_cast<float>(slice.lr),
          static_cast<float>(options_.rho * options_.sophia_bs),
          static_cast<float>(slice.scale),
          options_.double_ema};
}

AdamStep Optimizer::adam(double decay, const Slice& slice) const {
  const bool apart = options_.name == "adamw";
  const auto t = static_cast<double>(steps_);
  AdamStep s{};
  s.keep = apart ? static_cast<float>(1 - slice.lr * decay) : 1.0f;
  s.coupled_decay = apart ? 0.0f : static_cast<float>(decay);
  s.beta1 = static_cast<float>(options_.beta1), s.beta2 = static_cast<float>(options_.beta2);
  s.eps = static_cast<float>(options_.eps);
  s.step_size = static_cast<float>(slice.lr / (1 - std::pow(options_.beta1, t)));
  s.correction2_sqrt = static_cast<float>(std::sqrt(1 - std::pow(options_.beta2, t)));
  s.gradient_scale = static_cast<float>(slice.scale);
  return s;
}

float* Optimizer::slot(const char* name, std::int64_t at) {
  const auto found = state_.find(name);
  return found == state_.end() ? nullptr : found->second.data_ptr<float>() + at;
}

void Optimizer::host_step(FlatBuffer& parameters, const torch::Tensor& gradient, const Slice& slice) {
  const AdamStep plain = adam(0, slice), decaying = adam(options_.weight_decay, slice);
  for (const auto& e : parameters.entries) {  // the part of each inside the slice
    const std::int64_t at = std::max(e.offset, slice.first);
    const std::int64_t n = std::min(e.offset + e.numel, slice.last) - at;
    if (n <= 0) continue;
    const double decay = e.decays ? options_.weight_decay : 0.0;
    float* p = parameters.values.data_ptr<float>() + at;
    const float* g = gradient.data_ptr<float>() + at;
    if (options_.name == "sgd")
      sgd_step(p, g, slot("momentum", at), n, sgd(decay, slice));
    else if (options_.name == "sophia")
      sophia_step(p, g, slot("m", at), slot("h", at), n, sophia(decay, slice));
    else
      adam_step(p, g, slot("m", at), slot("v", at), n, e.decays ? decaying : plain);
  }
}

// One kernel over the slice; padding, all zeros, stays zero.
void Optimizer::device_step(FlatBuffer& parameters, const torch::Tensor& gradient, const Slice& slice) {
  const std::int64_t at = slice.first, n = slice.last - slice.first;
  if (n <= 0) return;
  EXPUNGE_CHECK(at % kAlignment == 0, "a slice that begins inside a parameter's alignment, at {}", at);
  float* p = parameters.values.data_ptr<float>() + at;
  const float* g = gradient.data_ptr<float>() + at;
  const std::uint8_t* decays = decays_.data_ptr<std::uint8_t>() + at / kAlignment;
  const double decay = options_.weight_decay;
  if (options_.name == "sgd")
    kernels_->sgd_step(p, g, slot("momentum", at), n, decays, sgd(decay, slice), sgd(0, slice));
  else if (options_.name == "sophia")
    kernels_->sophia_step(p, g, slot("m", at), slot("h", at), n, decays, sophia(decay, slice),
                          sophia(0, slice));
  else
    kernels_->adam_step(p, g, slot("m", at), slot("v", at), n, decays, adam(decay, slice), adam(0, slice));
}

double schedule_factor(const config::TrainOptions& o, std::int64_t step, std::int64_t total,
                       std::int64_t epoch) {
  const auto warm = static_cast<std::int64_t>(std::ceil(o.warmup * static_cast<double>(total)));
  if (step < warm) return static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, warm));
  const double left = static_cast<double>(std::max<std::int64_t>(1, total - warm));
  if (o.schedule == "linear") return std::max(0.0, static_cast<double>(total - step) / left);
  if (o.schedule == "cosine") {
    const double floor = o.optimizer.lr > 0 ? std::min(1.0, o.min_lr / o.optimizer.lr) : 0;
    const double progress = std::min(1.0, static_cast<double>(step - warm) / left);
    return floor + (1 - floor) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  }
  if (o.schedule == "step") {
    double factor = 1;
    for (double after : o.lr_steps)
      if (static_cast<double>(epoch) >= after) factor *= o.lr_decay;
    return factor;
  }
  return 1;
}

double gradient_norm(const torch::Tensor& flat) {
  if (flat.numel() == 0) return 0;
  if (flat.device().is_cpu()) return norm_of_blocks(block_squares(flat, 0, flat.numel()));
  // Block sums on the device, added in block order on the host.
  const DeviceKernels* kernels = device_kernels();
  EXPUNGE_CHECK(kernels, "no kernels for device {}", flat.device().str());
  const torch::Tensor squares =
      torch::empty({(flat.numel() + kBlock - 1) / kBlock}, flat.options().dtype(torch::kDouble));
  kernels->block_squares(flat.data_ptr<float>(), flat.numel(), squares.data_ptr<double>());
  const torch::Tensor host = squares.to(torch::kCPU);
  return norm_of_blocks({host.data_ptr<double>(), host.data_ptr<double>() + host.numel()});
}

std::vector<double> block_squares(const torch::Tensor& flat, std::int64_t first, std::int64_t last) {
  EXPUNGE_CHECK(first % kBlock == 0 || first >= last, "element {} begins no block", first);
  std::vector<double> squares;
  for (std::int64_t at = first; at < last; at += kBlock)
    squares.push_back(sum_of_squares(flat.data_ptr<float>() + at, std::min(kBlock, last - at)));
  return squares;
}

double norm_of_blocks(const std::vector<double>& squares) {
  double sum = 0;
  for (const double x : squares) sum += x;
  return std::sqrt(sum);
}

double clip_factor(double norm, double clip) { return clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0; }

}  // namespace expunge::tensor
