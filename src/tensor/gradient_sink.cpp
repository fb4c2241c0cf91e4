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

  // Of a pass in parts.
  const std::vector<Part>* parts = nullptr;
  std::function<void()> ready;
  std::vector<std::int64_t> missing;  // entries without a gradient, by part
  std::size_t handed = 0;             // parts that are ready

  // Elements from here on are no longer this object's to write.
  std::int64_t open_end() const { return parts && handed > 0 ? (*parts)[handed - 1].first : flat.numel(); }

  void take(std::size_t entry, const torch::Tensor& gradient) {
    const torch::NoGradGuard no_grad;
    torch::Tensor& window = (*into)[entry];
    const auto& e = layout->entries[entry];
    EXPUNGE_CHECK(how == Write::kReplace || !arrived[entry], "{} gets a second gradient of one pass", e.name);
    EXPUNGE_CHECK(e.offset < open_end(), "{} gets a gradient after its part is ready", e.name);
    if (how == Write::kReplace && !arrived[entry])
      window.copy_(gradient);
    else
      window.add_(gradient);
    const bool first = !arrived[entry];
    arrived[entry] = true;
    if (parts && first) count(e.offset);
  }

  // A gradient of the entry at `offset` has arrived.
  void count(std::int64_t offset) {
    const auto part =
        std::find_if(parts->begin(), parts->end(), [&](const Part& p) { return p.first <= offset; });
    --missing[static_cast<std::size_t>(part - parts->begin())];
    while (handed < parts->size() && missing[handed] == 0) {
      const auto [from, to] = (*parts)[handed];
      if (how == Write::kReplace) fill_up(from, to);
      ++handed;
      ready();
    }
  }

  // Zeros in elements [from, to) that are no entry's with a gradient.
  void fill_up(std::int64_t from, std::int64_t to) {
    const auto zero_until = [&](std::int64_t end) {
      if (end > from) flat.narrow(0, from, end - from).zero_();
    };
    const auto& entries = layout->entries;
    auto entry = std::lower_bound(entries.begin(), entries.end(), from,
                                  [](const FlatEntry& e, std::int64_t at) { return e.offset < at; });
    for (; entry != entries.end() && entry->offset < to; ++entry) {
      if (!arrived[static_cast<std::size_t>(entry - entries.begin())]) continue;
      zero_until(entry->offset);
      from = entry->offset + entry->numel;
    }
    zero_until(to);
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

std::vector<GradientSink::Part> GradientSink::parts(std::int64_t floats) const {
  std::vector<Part> out;
  const auto& entries = state_->layout->entries;
  std::int64_t end = state_->layout->size();
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry)
    if (end - entry->offset >= floats || entry->offset == 0) {
      out.push_back({entry->offset, end});
      end = entry->offset;
    }
  return out;
}

void GradientSink::open(const torch::Tensor& flat, Write how) {
  EXPUNGE_CHECK(!state_->displaced, "another sink has taken the parameters' gradients over");
  const auto& entries = state_->layout->entries;
  auto& windows = state_->windows[flat.data_ptr()];
  if (windows.empty())
    for (std::size_t i = 0; i < entries.size(); ++i) windows.push_back(state_->layout->view_of(flat, i));
  state_->flat = flat, state_->how = how, state_->into = &windows;
  state_->arrived.assign(entries.size(), false);
  state_->parts = nullptr, state_->handed = 0;
}

void GradientSink::open(const torch::Tensor& flat, Write how, const std::vector<Part>& parts,
                        std::function<void()> ready) {
  open(flat, how);
  state_->missing.assign(parts.size(), 0);
  for (const auto& e : state_->layout->entries) {
    const auto part =
        std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.first <= e.offset; });
    EXPUNGE_CHECK(part != parts.end(), "{} is in no part", e.name);
    ++state_->missing[static_cast<std::size_t>(part - parts.begin())];
  }
  state_->parts = &parts;
  state_->ready = std::move(ready);
}

void GradientSink::close() {
  const torch::Tensor flat = state_->flat;
  if (flat.defined() && state_->how == Write::kReplace) {
    const torch::NoGradGuard no_grad;
    state_->fill_up(0, state_->open_end());
  }
  state_->flat = torch::Tensor();
  state_->parts = nullptr, state_->ready = nullptr;
}

}  // namespace expunge::tensor
