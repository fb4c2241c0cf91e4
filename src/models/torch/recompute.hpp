// Blocks of a network that keep nothing but their input for the backward pass, and run again there (Chen et
// al. 2016, "Training Deep Nets with Sublinear Memory Cost"): memory for time.
#pragma once

#include <functional>

#include "tensor/torch.hpp"

namespace expunge::models {

// While it lives, forward passes of its thread may let blocks run again; with `on` false they may not.
class Recomputing {
 public:
  explicit Recomputing(bool on) : outer_(active_) { active_ = on; }
  ~Recomputing() { active_ = outer_; }
  Recomputing(const Recomputing&) = delete;
  Recomputing& operator=(const Recomputing&) = delete;
  static bool active() { return active_; }

 private:
  bool outer_;
  static thread_local bool active_;
};

// block(). Under Recomputing, and where gradients are wanted, nothing of what its operations save for the
// backward pass is kept: the first of them to be asked for lets the block run again, in the same autocast and
// with the same draws of the device's default generator. The graph is the one that a plain call makes, so
// gradients have the same bits, in every precision and whatever of the network is trained. Each backward pass
// over the graph runs the block once more. `block` holds the tensors that it reads (captured by value); its
// network must live, and keep mode and parameters, until the backward pass is over. A plain call inside
// another such block and under a Recorder, which keeps what layers read anyway.
torch::Tensor recomputed(torch::Device device, std::function<torch::Tensor()> block);

}  // namespace expunge::models
