#include "models/torch/recompute.hpp"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "models/torch/recorder.hpp"

namespace expunge::models {

thread_local bool Recomputing::active_ = false;

namespace {

using torch::autograd::Engine;
using torch::autograd::SavedVariableHooks;

struct AutocastState {
  bool enabled, remembers;
  at::ScalarType type;
  static AutocastState of(at::DeviceType device) {
    return {at::autocast::is_autocast_enabled(device), at::autocast::is_autocast_cache_enabled(),
            at::autocast::get_autocast_dtype(device)};
  }
  void apply(at::DeviceType device) const {
    at::autocast::set_autocast_enabled(device, enabled);
    at::autocast::set_autocast_cache_enabled(remembers);
    at::autocast::set_autocast_dtype(device, type);
  }
};

// The surroundings of a block's first run, for a second one.
class Surroundings {
 public:
  explicit Surroundings(torch::Device device)
      : device_(device), draws_(draws()), autocast_(AutocastState::of(device.type())) {}

  // Runs the block in them, and leaves the thread as it was.
  void run(const std::function<torch::Tensor()>& block) const {
    const Restored restored(*this);
    const torch::AutoGradMode with_gradients(true);
    block();
  }

 private:
  at::Generator generator() const { return at::globalContext().defaultGenerator(device_); }
  torch::Tensor draws() const {
    at::Generator g = generator();
    const std::lock_guard lock(g.mutex());
    return g.get_state();
  }
  void set_draws(const torch::Tensor& state) const {
    at::Generator g = generator();
    const std::lock_guard lock(g.mutex());
    g.set_state(state);
  }

  class Restored {
   public:
    explicit Restored(const Surroundings& at)
        : at_(at), draws_(at.draws()), autocast_(AutocastState::of(at.device_.type())) {
      at_.set_draws(at_.draws_);
      at_.autocast_.apply(at_.device_.type());
      at::autocast::increment_nesting();
    }
    ~Restored() {
      if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
      autocast_.apply(at_.device_.type());
      at_.set_draws(draws_);
    }
    Restored(const Restored&) = delete;
    Restored& operator=(const Restored&) = delete;

   private:
    const Surroundings& at_;
    torch::Tensor draws_;
    AutocastState autocast_;
  };

  torch::Device device_;
  torch::Tensor draws_;
  AutocastState autocast_;
};

// A block that has run once. Its operations' saved tensors have numbers in the order in which they are saved,
// the same in every run.
class Block : public std::enable_shared_from_this<Block> {
 public:
  Block(torch::Device device, std::function<torch::Tensor()> run) : around_(device), run_(std::move(run)) {}

  torch::Tensor first_run() {
    const Current current(this);
    return run_();
  }
  // The hooks of the next tensor that an operation of this thread saves; none outside a block.
  static std::unique_ptr<SavedVariableHooks> next_hooks() {
    if (!current_) return nullptr;
    if (current_->again_) return std::make_unique<Kept>(*current_);
    return std::make_unique<Dropped>(current_->shared_from_this());
  }
  static bool running() { return current_ != nullptr; }

 private:
  class Current {
   public:
    explicit Current(Block* block) : outer_(std::exchange(current_, block)) {}
    ~Current() { current_ = outer_; }
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

   private:
    Block* outer_;
  };

  // In the first run: only the number is kept.
  class Dropped : public SavedVariableHooks {
   public:
    explicit Dropped(std::shared_ptr<Block> block) : block_(std::move(block)) {}
    void call_pack_hook(const at::Tensor&) override {
      number_ = block_->saved_.size();
      block_->saved_.emplace_back();
    }
    at::Tensor call_unpack_hook() override { return block_->take(number_); }

   private:
    std::shared_ptr<Block> block_;
    std::size_t number_ = 0;
  };

  // In a later run, whose graph is thrown away: the tensor, without its way back.
  class Kept : public SavedVariableHooks {
   public:
    explicit Kept(Block& block) : block_(block) {}
    void call_pack_hook(const at::Tensor& tensor) override {
      if (block_.next_ < block_.saved_.size()) block_.saved_[block_.next_] = tensor.detach();
      ++block_.next_;
    }
    at::Tensor call_unpack_hook() override { throw InternalError("the graph of a block's second run"); }

   private:
    Block& block_;
  };

  // Handed out once: memory falls as the backward pass goes through the block, and another pass finds nothing
  // and runs the block anew.
  torch::Tensor take(std::size_t number) {
    if (!saved_[number].defined()) run_again();
    return std::exchange(saved_[number], {});
  }

  void run_again() {
    const Current current(this);
    again_ = true;
    next_ = 0;
    around_.run(run_);
    EXPUNGE_CHECK(next_ == saved_.size(), "a block saved {} tensors in its first run, {} in another",
                  saved_.size(), next_);
  }

  static thread_local Block* current_;
  Surroundings around_;
  std::function<torch::Tensor()> run_;
  std::vector<torch::Tensor> saved_;
  std::size_t next_ = 0;
  bool again_ = false;
};

thread_local Block* Block::current_ = nullptr;

// LibTorch asks its engine for the hooks of a tensor that is saved.
class HookedEngine : public Engine {
 public:
  HookedEngine() = default;
  std::unique_ptr<SavedVariableHooks> get_default_saved_variable_hooks() override {
    return Block::next_hooks();
  }
  // Never destroyed: a graph may outlive the static objects.
  static Engine& instance() {
    static auto* const engine = new HookedEngine;
    return *engine;
  }
};

}  // namespace

torch::Tensor recomputed(torch::Device device, std::function<torch::Tensor()> block) {
  if (!Recomputing::active() || !torch::GradMode::is_enabled() || Recorder::active() || Block::running())
    return block();
  static const bool hooked = (torch::autograd::set_default_engine_stub(HookedEngine::instance), true);
  EXPUNGE_CHECK(hooked, "no engine for blocks that run again");
  return std::make_shared<Block>(device, std::move(block))->first_run();
}

}  // namespace expunge::models
