// Lets backward passes write gradients straight into a flat buffer. Autograd's own way, into `.grad`, needs a
// buffer of zeros first and reads it back for every gradient; here a gradient is read once and written once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "tensor/torch.hpp"

namespace expunge::tensor {

struct FlatBuffer;

class GradientSink {
 public:
  // Hooks `parameters` [one per entry of `layout`], leaves of autograd; `layout` outlives this. While the
  // sink is closed, gradients go into `.grad` as ever.
  GradientSink(const std::vector<torch::Tensor>& parameters, const FlatBuffer& layout);
  ~GradientSink();
  GradientSink(const GradientSink&) = delete;
  GradientSink& operator=(const GradientSink&) = delete;

  // kReplace: what lies in the buffer is overwritten, and zero where no gradient arrives. kAdd: gradients are
  // added to what lies there; a parameter may get one gradient only, or the order of additions would change.
  enum class Write { kReplace, kAdd };
  // A run of whole entries: elements [first, last) of the buffer.
  struct Part {
    std::int64_t first, last;
  };
  // The buffer from its end to its beginning in parts of at least `floats` elements, but the last: in a
  // backward pass gradients arrive about in this order.
  std::vector<Part> parts(std::int64_t floats) const;

  // `flat` [layout.size()]. What is behind an earlier open() is dropped.
  void open(const torch::Tensor& flat, Write how);
  // The same, and `ready` is called for one part after the other, in order, as soon as it and those before it
  // have got their gradients: they are filled up, and not written again. InternalError in a pass that then
  // brings a parameter of theirs another gradient. Parts that wait for a parameter without gradient are left
  // to the caller, after close(). `ready` runs on the thread of the backward pass; what it raises ends the
  // pass. Both arguments outlive the pass.
  void open(const torch::Tensor& flat, Write how, const std::vector<Part>& parts,
            std::function<void()> ready);
  // For backward passes that write this parameter's gradient themselves: calls fill(place) [place: as the
  // parameter, contiguous, to be overwritten] and returns true when a sink that replaces is open, not in
  // parts; later gradients of the same pass are added in the order of these calls. False: the gradient has to
  // be handed on to autograd.
  static bool deliver(const torch::Tensor& parameter, const std::function<void(torch::Tensor)>& fill);
  // After the backward pass: fills up what got no gradient. A pass that was opened while another one runs on
  // this thread ends before it: the other one is then open again, as it was.
  void close();

 private:
  struct State;
  class Hook;
  std::shared_ptr<State> state_;  // shared with the hooks
};

}  // namespace expunge::tensor
