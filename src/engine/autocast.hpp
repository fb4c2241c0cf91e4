// Mixed precision for a part of a program.
#pragma once

#include <ATen/autocast_mode.h>

#include "tensor/torch.hpp"

namespace expunge {

// Turns autocast to bf16 on for the device while it lives. Without gradients nothing is remembered: a
// remembered cast has no way back to its weight, and a later pass with gradients would take it.
class Autocast {
 public:
  Autocast(torch::Device device, bool enabled) : type_(device.type()), enabled_(enabled) {
    if (!enabled_) return;
    before_ = at::autocast::is_autocast_enabled(type_);
    at::autocast::set_autocast_enabled(type_, true);
    at::autocast::set_autocast_dtype(type_, torch::kBFloat16);
    at::autocast::increment_nesting();
    remembered_ = at::autocast::is_autocast_cache_enabled();
    if (!at::GradMode::is_enabled()) at::autocast::set_autocast_cache_enabled(false);
  }
  ~Autocast() {
    if (!enabled_) return;
    at::autocast::set_autocast_cache_enabled(remembered_);
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(type_, before_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType type_;
  bool enabled_, before_ = false, remembered_ = true;
};

// While it lives, casts of weights made under Autocast are remembered from one forward pass to the next: the
// weights must not change meanwhile. The grains of a step share them.
class SharedCasts {
 public:
  explicit SharedCasts(bool enabled) : enabled_(enabled) {
    if (enabled_) at::autocast::increment_nesting();
  }
  ~SharedCasts() {
    if (enabled_ && at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  }
  SharedCasts(const SharedCasts&) = delete;
  SharedCasts& operator=(const SharedCasts&) = delete;

 private:
  bool enabled_;
};

}  // namespace expunge
