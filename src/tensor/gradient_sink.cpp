#include "tensor/gradient_sink.hpp"

#include <torch/csrc/autograd/graph_task.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <map>
#include <utility>

#include "core/error.hpp"
#include "tensor/flat_parameters.hpp"

namespace expunge::tensor {

namespace {

using Part = GradientSink::Part;
using Write = GradientSink::Write;

// What is open.
struct Pass {
  torch::Tensor flat;  // undefined: nothing is
  Write how = Write::kReplace;
  std::vector<bool> arrived;                   // by entry
  std::vector<torch::Tensor>* into = nullptr;  // windows of `flat`, by entry
  // In parts.
  const std::vector<Part>* parts = nullptr;
  std::function<void()> ready;
  std::vector<std::int64_t> missing;  // entries without a gradient, by part
  std::size_t handed = 0;             // parts that are ready

  // Elements from here on are no longer this object's to write.
  std::int64_t end() const { return parts && handed > 0 ? (*parts)[handed - 1].first : flat.numel(); }
};

// Some backward pass runs on this thread: what is opened now belongs to a pass inside of it.
bool inside_a_pass() { return torch::autograd::get_current_graph_task_id() != -1; }

}  // namespace

struct GradientSink::State {
  const FlatBuffer* layout = nullptr;
  std::map<const void*, std::vector<torch::Tensor>> windows;  // of every buffer so far, by entry
  bool displaced = false;
  Pass open;
  std::vector<Pass> outer;  // open again when the passes inside of them are closed

  void take(std::size_t entry, const torch::Tensor& gradient) {
    const torch::NoGradGuard no_grad;
    torch::Tensor& window = (*open.into)[entry];
    const auto& e = layout->entries[entry];
    EXPUNGE_CHECK(open.how == Write::kReplace || !open.arrived[entry],
                  "{} gets a second gradient of one pass", e.name);
    EXPUNGE_CHECK(e.offset < open.end(), "{} gets a gradient after its part is ready", e.name);
    if (open.how == Write::kReplace && !open.arrived[entry])
      window.copy_(gradient);
    else
      window.add_(gradient);
    const bool first = !open.arrived[entry];
    open.arrived[entry] = true;
    if (open.parts && first) count(e.offset);
  }

  // The same of a gradient that `fill` writes.
  void place(std::size_t entry, const std::function<void(torch::Tensor)>& fill) {
    torch::Tensor& window = (*open.into)[entry];
    if (!open.arrived[entry]) {
      fill(window);
      open.arrived[entry] = true;
      return;
    }
    const torch::Tensor more = at::empty_like(window);
    fill(more);
    window.add_(more);
  }

  // A gradient of the entry at `offset` has arrived.
  void count(std::int64_t offset) {
    const auto& parts = *open.parts;
    const auto part =
        std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.first <= offset; });
    --open.missing[static_cast<std::size_t>(part - parts.begin())];
    while (open.handed < parts.size() && open.missing[open.handed] == 0) {
      const auto [from, to] = parts[open.handed];
      if (open.how == Write::kReplace) fill_up(from, to);
      ++open.handed;
      open.ready();
    }
  }

  // Zeros in elements [from, to) that are no entry's with a gradient.
  void fill_up(std::int64_t from, std::int64_t to) {
    const auto zero_until = [&](std::int64_t end) {
      if (end > from) open.flat.narrow(0, from, end - from).zero_();
    };
    const auto& entries = layout->entries;
    auto entry = std::lower_bound(entries.begin(), entries.end(), from,
                                  [](const FlatEntry& e, std::int64_t at) { return e.offset < at; });
    for (; entry != entries.end() && entry->offset < to; ++entry) {
      if (!open.arrived[static_cast<std::size_t>(entry - entries.begin())]) continue;
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
    if (!state_->open.flat.defined() || gradients.size() != 1 || !gradients[0].defined()) return gradients;
    state_->take(entry_, gradients[0]);
    return {torch::Tensor()};
  }
  void displace() { state_->displaced = true; }
  bool deliver(const std::function<void(torch::Tensor)>& fill) {
    const Pass& open = state_->open;
    // A part is ready when its parameters have had all their gradients, which autograd alone knows.
    if (!open.flat.defined() || open.how != Write::kReplace || open.parts) return false;
    state_->place(entry_, fill);
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

GradientSink::~GradientSink() { state_->open = {}, state_->outer.clear(); }

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
  Pass pass;
  pass.flat = flat, pass.how = how, pass.into = &windows;
  pass.arrived.assign(entries.size(), false);
  if (!inside_a_pass())
    state_->outer.clear();  // left behind by passes that failed
  else if (state_->open.flat.defined())
    state_->outer.push_back(std::move(state_->open));
  state_->open = std::move(pass);
}

void GradientSink::open(const torch::Tensor& flat, Write how, const std::vector<Part>& parts,
                        std::function<void()> ready) {
  open(flat, how);
  std::vector<std::int64_t> missing(parts.size());
  for (const auto& e : state_->layout->entries) {
    const auto part =
        std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.first <= e.offset; });
    EXPUNGE_CHECK(part != parts.end(), "{} is in no part", e.name);
    ++missing[static_cast<std::size_t>(part - parts.begin())];
  }
  state_->open.missing = std::move(missing);
  state_->open.parts = &parts;
  state_->open.ready = std::move(ready);
}

bool GradientSink::deliver(const torch::Tensor& parameter, const std::function<void(torch::Tensor)>& fill) {
  const torch::NoGradGuard no_grad;
  for (const auto& hook : torch::autograd::impl::hooks(parameter))
    if (auto* own = dynamic_cast<Hook*>(hook.get())) return own->deliver(fill);
  return false;
}

void GradientSink::close() {
  if (state_->open.flat.defined() && state_->open.how == Write::kReplace) {
    const torch::NoGradGuard no_grad;
    state_->fill_up(0, state_->open.end());
  }
  state_->open = {};
  if (!inside_a_pass() || state_->outer.empty()) return;
  state_->open = std::move(state_->outer.back());
  state_->outer.pop_back();
}

}  // namespace expunge::tensor
