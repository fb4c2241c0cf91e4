#include "tensor/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.hpp"
#include "tensor/kernels.hpp"

namespace expunge::tensor {

Optimizer::Optimizer(const config::OptimizerOptions& options, const FlatBuffer& layout) : options_(options) {
  const auto zeros = [&] { return torch::zeros_like(layout.values); };
  if (options.name == "sgd") {
    if (options.momentum > 0) state_["momentum"] = zeros();
  } else {
    state_["m"] = zeros();
    state_[options.name == "sophia" ? "h" : "v"] = zeros();
  }
  if (!layout.values.device().is_cpu()) {
    decay_mask_ = zeros();
    for (const auto& e : layout.entries)
      if (e.decays) decay_mask_.narrow(0, e.offset, e.numel).fill_(1);
  }
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
  const torch::NoGradGuard no_grad;
  ++steps_;
  const double lr = options_.lr * lr_factor;
  if (parameters.values.device().is_cpu())
    host_step(parameters, gradient, lr, gradient_scale);
  else
    device_step(parameters, gradient, lr, gradient_scale);
}

void Optimizer::host_step(FlatBuffer& parameters, const torch::Tensor& gradient, double lr, double scale) {
  float* p = parameters.values.data_ptr<float>();
  const float* g = gradient.data_ptr<float>();
  const auto slot = [&](const char* name) {
    return state_.count(name) ? state_.at(name).data_ptr<float>() : nullptr;
  };
  if (options_.name == "sgd") {
    float* buffer = slot("momentum");
    for (const auto& e : parameters.entries) {
      const SgdStep s{static_cast<float>(lr), e.decays ? static_cast<float>(options_.weight_decay) : 0.0f,
                      static_cast<float>(options_.momentum), static_cast<float>(scale), steps_ == 1};
      sgd_step(p + e.offset, g + e.offset, buffer ? buffer + e.offset : nullptr, e.numel, s);
    }
    return;
  }
  if (options_.name == "sophia") {
    float *m = slot("m"), *h = slot("h");
    SophiaStep s{1.0f,
                 static_cast<float>(options_.beta1),
                 static_cast<float>(options_.beta2),
                 static_cast<float>(lr),
                 static_cast<float>(options_.rho * options_.sophia_bs),
                 static_cast<float>(scale),
                 options_.double_ema};
    for (const auto& e : parameters.entries) {
      s.keep = static_cast<float>(1 - lr * (e.decays ? options_.weight_decay : 0.0));
      sophia_step(p + e.offset, g + e.offset, m + e.offset, h + e.offset, e.numel, s);
    }
    return;
  }
  float *m = slot("m"), *v = slot("v");
  AdamStep s{};
  s.beta1 = static_cast<float>(options_.beta1), s.beta2 = static_cast<float>(options_.beta2),
  s.eps = static_cast<float>(options_.eps);
  s.step_size = static_cast<float>(lr / (1 - std::pow(options_.beta1, static_cast<double>(steps_))));
  s.correction2_sqrt =
      static_cast<float>(std::sqrt(1 - std::pow(options_.beta2, static_cast<double>(steps_))));
  s.gradient_scale = static_cast<float>(scale);
  for (const auto& e : parameters.entries) {
    const double decay = e.decays ? options_.weight_decay : 0.0;
    s.keep = options_.name == "adamw" ? static_cast<float>(1 - lr * decay) : 1.0f;
    s.coupled_decay = options_.name == "adamw" ? 0.0f : static_cast<float>(decay);
    adam_step(p + e.offset, g + e.offset, m + e.offset, v + e.offset, e.numel, s);
  }
}

// The same formulas as elementwise tensor operations, for devices; elementwise operations are deterministic
// there.
void Optimizer::device_step(FlatBuffer& parameters, const torch::Tensor& gradient, double lr, double scale) {
  torch::Tensor p = parameters.values, g = gradient * scale;
  if (options_.name == "adamw" || options_.name == "sophia") {
    p.mul_(1 - decay_mask_ * (lr * options_.weight_decay));
  } else if (options_.weight_decay > 0) {
    g.add_(p * decay_mask_, options_.weight_decay);
  }
  if (options_.name == "sgd") {
    if (options_.momentum > 0) g = state_["momentum"].mul_(steps_ == 1 ? 0.0 : options_.momentum).add_(g);
    p.sub_(g, lr);
    return;
  }
  if (options_.name == "sophia") {
    torch::Tensor &m = state_["m"], &h = state_["h"];
    h.mul_(options_.beta2).addcmul_(g, g, 1 - options_.beta2);
    for (int k = 0; k < (options_.double_ema ? 2 : 1); ++k)
      m.mul_(options_.beta1).add_(g, 1 - options_.beta1);
    p.sub_(m.sign() * (m.abs() / (h * (options_.rho * options_.sophia_bs) + 1e-15)).clamp_max(1), lr);
    return;
  }
  const double c1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_));
  const double c2 = std::sqrt(1 - std::pow(options_.beta2, static_cast<double>(steps_)));
  state_["m"].lerp_(g, 1 - options_.beta1);
  state_["v"].mul_(options_.beta2).addcmul_(g, g, 1 - options_.beta2);
  p.addcdiv_(state_["m"], state_["v"].sqrt().div_(c2).add_(options_.eps), -lr / c1);
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
  if (flat.device().is_cpu()) return std::sqrt(sum_of_squares(flat.data_ptr<float>(), flat.numel()));
  // Block sums on the device, added in block order on the host.
  const std::int64_t blocks = (flat.numel() + kBlock - 1) / kBlock;
  torch::Tensor padded = torch::zeros({blocks * kBlock}, flat.options());
  padded.narrow(0, 0, flat.numel()).copy_(flat);
  const torch::Tensor sums =
      padded.to(torch::kDouble).square_().view({blocks, kBlock}).sum(1).to(torch::kCPU);
  double sum = 0;
  for (std::int64_t b = 0; b < blocks; ++b) sum += sums.data_ptr<double>()[b];
  return std::sqrt(sum);
}

double clip_factor(double norm, double clip) { return clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0; }

}  // namespace expunge::tensor
