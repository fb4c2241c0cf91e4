#include "tensor/gradient_sink.hpp"

#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <map>

#include "core/error.hpp"
#include "tensor/flat_parameters.hpp"

namespace expunge::tensor {

struct GradientSink::State {
  const FlatBuffer* layout = nullptr;
  torch::Tensor flat;  // undefined: closed
  Write how = Write::kReplace;
  std::vector<bool> arrived;                                  // by entry
  std::map<const void*, std::vector<torch::Tensor>> windows;  // of every buffer so far, by entry
  bool displaced = false;
  std::vector<torch::Tensor>* into = nullptr;  // of `flat`

  void take(std::size_t entry, const torch::Tensor& gradient) {
    const torch::NoGradGuard no_grad;
    torch::Tensor& window = (*into)[entry];
    EXPUNGE_CHECK(how == Write::kReplace || !arrived[entry], "{} gets a second gradient of one pass",
                  layout->entries[entry].name);
    if (how == Write::kReplace && !arrived[entry])
      window.copy_(gradient);
    else
      window.add_(gradient);
    arrived[entry] = true;
  }
};

class GradientSink::Hook : public torch::autograd::FunctionPreHook {
 public:
  Hook(std::shared_ptr<State> state, std::size_t entry) : state_(std::move(state)), entry_(entry) {}
  // An undefined gradient is not accumulated.
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& gradients) override {
    if (!state_->flat.defined() || gradients.size() != 1 || !gradients[0].defined()) return gradients;
    state_->take(entry_, gradients[0]);
    return {torch::Tensor()};
  }
  void displace() { state_->displaced = true; }
  bool deliver(const std::function<void(torch::Tensor)>& fill) {
    if (!state_->flat.defined() || state_->how != Write::kReplace) return false;
    torch::Tensor& window = (*state_->into)[entry_];
    if (!state_->arrived[entry_]) {
      fill(window);
      state_->arrived[entry_] = true;
    } else {
      const torch::Tensor more = at::empty_like(window);
      fill(more);
      window.add_(more);
    }
    return true;
  }

 private:
  std::shared_ptr<State> state_;
  std::size_t entry_;
};

GradientSink::GradientSink(const std::vector<torch::Tensor>& parameters, const FlatBuffer& layout)
    : state_(std::make_shared<State>()) {
  EXPUNGE_CHECK(parameters.size() == layout.entries.size(), "{} parameters for {} entries", parameters.size(),
                layout.entries.size());
  state_->layout = &layout;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    for (const auto& hook : torch::autograd::impl::hooks(parameters[i]))
      if (auto* other = dynamic_cast<Hook*>(hook.get())) other->displace();
    torch::autograd::impl::clear_hooks(parameters[i]);  // a tensor has room for one
    torch::autograd::impl::add_hook(parameters[i], std::make_unique<Hook>(state_, i));
  }
}

GradientSink::~GradientSink() { state_->flat = torch::Tensor(); }

void GradientSink::open(const torch::Tensor& flat, Write how) {
  EXPUNGE_CHECK(!state_->displaced, "another sink has taken the parameters' gradients over");
  const auto& entries = state_->layout->entries;
  auto& windows = state_->windows[flat.data_ptr()];
  if (windows.empty())
    for (std::size_t i = 0; i < entries.size(); ++i) windows.push_back(state_->layout->view_of(flat, i));
  state_->flat = flat, state_->how = how, state_->into = &windows;
  state_->arrived.assign(entries.size(), false);
}

bool GradientSink::deliver(const torch::Tensor& parameter, const std::function<void(torch::Tensor)>& fill) {
  const torch::NoGradGuard no_grad;
  for (const auto& hook : torch::autograd::impl::hooks(parameter))
    if (auto* own = dynamic_cast<Hook*>(hook.get())) return own->deliver(fill);
  return false;
}

void GradientSink::close() {
  const torch::Tensor flat = state_->flat;
  state_->flat = torch::Tensor();
  if (!flat.defined() || state_->how == Write::kAdd) return;
  const torch::NoGradGuard no_grad;
  std::int64_t at = 0;  // end of the last parameter that got a gradient
  const auto zero_until = [&](std::int64_t end) {
    if (end > at) flat.narrow(0, at, end - at).zero_();
  };
  for (std::size_t i = 0; i < state_->arrived.size(); ++i) {
    if (!state_->arrived[i]) continue;
    const auto& e = state_->layout->entries[i];
    zero_until(e.offset);
    at = e.offset + e.numel;
  }
  zero_until(flat.numel());
}

}  // namespace expunge::tensor
