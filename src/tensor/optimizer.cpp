#include "tensor/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.hpp"
#include "tensor/kernels.hpp"
#include "tensor/untouched.hpp"

namespace expunge::tensor {

Optimizer::Optimizer(const config::OptimizerOptions& options, const FlatBuffer& layout) : options_(options) {
  const auto zeros = [&] { return untouched_zeros(layout.size(), layout.values.device()); };
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
  step_slice(parameters, gradient, lr_factor, gradient_scale, 0, parameters.size());
}

void Optimizer::step_slice(FlatBuffer& parameters, const torch::Tensor& gradient, double lr_factor,
                           double gradient_scale, std::int64_t first, std::int64_t last) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  const Slice slice{first, last, options_.lr * lr_factor, gradient_scale};
  if (parameters.values.device().is_cpu())
    host_step(parameters, gradient, slice);
  else
    device_step(parameters, gradient, slice);
}

void Optimizer::host_step(FlatBuffer& parameters, const torch::Tensor& gradient, const Slice& slice) {
  float* p = parameters.values.data_ptr<float>();
  const float* g = gradient.data_ptr<float>();
  const double lr = slice.lr;
  const auto slot = [&](const char* name) {
    return state_.count(name) ? state_.at(name).data_ptr<float>() : nullptr;
  };
  // Calls `step(decay, at, count)` for the part of each parameter inside the slice.
  const auto for_each_part = [&](auto&& step) {
    for (const auto& e : parameters.entries) {
      const std::int64_t from = std::max(e.offset, slice.first);
      const std::int64_t to = std::min(e.offset + e.numel, slice.last);
      if (from < to) step(e.decays ? options_.weight_decay : 0.0, from, to - from);
    }
  };
  const auto beta1 = static_cast<float>(options_.beta1), beta2 = static_cast<float>(options_.beta2);
  const auto scale = static_cast<float>(slice.scale);
  if (options_.name == "sgd") {
    float* buffer = slot("momentum");
    for_each_part([&](double decay, std::int64_t at, std::int64_t n) {
      const SgdStep s{static_cast<float>(lr), static_cast<float>(decay),
                      static_cast<float>(options_.momentum), scale, steps_ == 1};
      sgd_step(p + at, g + at, buffer ? buffer + at : nullptr, n, s);
    });
    return;
  }
  if (options_.name == "sophia") {
    float *m = slot("m"), *h = slot("h");
    SophiaStep s{1.0f,
                 beta1,
                 beta2,
                 static_cast<float>(lr),
                 static_cast<float>(options_.rho * options_.sophia_bs),
                 scale,
                 options_.double_ema};
    for_each_part([&](double decay, std::int64_t at, std::int64_t n) {
      s.keep = static_cast<float>(1 - lr * decay);
      sophia_step(p + at, g + at, m + at, h + at, n, s);
    });
    return;
  }
  float *m = slot("m"), *v = slot("v");
  AdamStep s{};
  s.beta1 = beta1, s.beta2 = beta2, s.eps = static_cast<float>(options_.eps);
  s.step_size = static_cast<float>(lr / (1 - std::pow(options_.beta1, static_cast<double>(steps_))));
  s.correction2_sqrt =
      static_cast<float>(std::sqrt(1 - std::pow(options_.beta2, static_cast<double>(steps_))));
  s.gradient_scale = scale;
  for_each_part([&](double decay, std::int64_t at, std::int64_t n) {
    s.keep = options_.name == "adamw" ? static_cast<float>(1 - lr * decay) : 1.0f;
    s.coupled_decay = options_.name == "adamw" ? 0.0f : static_cast<float>(decay);
    adam_step(p + at, g + at, m + at, v + at, n, s);
  });
}

// The same formulas as elementwise tensor operations, for devices; elementwise operations are deterministic
// there.
void Optimizer::device_step(FlatBuffer& parameters, const torch::Tensor& gradient, const Slice& slice) {
  const auto part = [&](const torch::Tensor& flat) {
    return flat.narrow(0, slice.first, slice.last - slice.first);
  };
  const double lr = slice.lr;
  torch::Tensor p = part(parameters.values), g = part(gradient) * slice.scale;
  const torch::Tensor decays = part(decay_mask_);
  if (options_.name == "adamw" || options_.name == "sophia") {
    p.mul_(1 - decays * (lr * options_.weight_decay));
  } else if (options_.weight_decay > 0) {
    g.add_(p * decays, options_.weight_decay);
  }
  if (options_.name == "sgd") {
    if (options_.momentum > 0)
      g = part(state_["momentum"]).mul_(steps_ == 1 ? 0.0 : options_.momentum).add_(g);
    p.sub_(g, lr);
    return;
  }
  if (options_.name == "sophia") {
    torch::Tensor m = part(state_["m"]), h = part(state_["h"]);
    h.mul_(options_.beta2).addcmul_(g, g, 1 - options_.beta2);
    for (int k = 0; k < (options_.double_ema ? 2 : 1); ++k)
      m.mul_(options_.beta1).add_(g, 1 - options_.beta1);
    p.sub_(m.sign() * (m.abs() / (h * (options_.rho * options_.sophia_bs) + 1e-15)).clamp_max(1), lr);
    return;
  }
  const double c1 = 1 - std::pow(options_.beta1, static_cast<double>(steps_));
  const double c2 = std::sqrt(1 - std::pow(options_.beta2, static_cast<double>(steps_)));
  const torch::Tensor m = part(state_["m"]).lerp_(g, 1 - options_.beta1);
  const torch::Tensor v = part(state_["v"]).mul_(options_.beta2).addcmul_(g, g, 1 - options_.beta2);
  p.addcdiv_(m, v.sqrt().div_(c2).add_(options_.eps), -lr / c1);
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
  const std::int64_t blocks = (flat.numel() + kBlock - 1) / kBlock;
  torch::Tensor padded = torch::zeros({blocks * kBlock}, flat.options());
  padded.narrow(0, 0, flat.numel()).copy_(flat);
  const torch::Tensor sums =
      padded.to(torch::kDouble).square_().view({blocks, kBlock}).sum(1).to(torch::kCPU);
  return norm_of_blocks({sums.data_ptr<double>(), sums.data_ptr<double>() + blocks});
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
