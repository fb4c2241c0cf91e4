// Work on a device that is recorded once and then given to it again as a whole (a CUDA graph): without the
// processor's part of launching each kernel.
#pragma once

#include <functional>

namespace expunge::tensor {

// Two pieces of work that belong together and run in turn, with other work between them: a forward pass and
// the backward pass through it.
class Captured {
 public:
  virtual ~Captured() = default;
  // Calls all three in this order. What `forward` and `backward` queue on the current stream is recorded
  // instead of run: the tensors that they make are there, with nothing in them yet. `between` runs as ever.
  // Raises std::exception where something cannot be recorded; this object is then useless.
  virtual void record(const std::function<void()>& forward, const std::function<void()>& between,
                      const std::function<void()>& backward) = 0;
  // Queue what was recorded on the current stream: the same work on the same memory. Random numbers are the
  // default generator's next ones, as without a recording.
  virtual void forward() = 0;
  virtual void backward() = 0;
};

}  // namespace expunge::tensor
