// Counts the FLOPs of matrix products and convolutions as LibTorch runs them: the check on the models'
// analytic prices.
#pragma once

#include <cstdint>

namespace expunge::tensor {

// Counts from construction on, on every thread of this process (a backward pass may use its own). A
// multiply-add is 2. Counted are aten::mm, bmm, addmm, addbmm, baddbmm, convolution and convolution_backward
// (per output it really computes); everything else is 0, as are fused attention kernels. Counters may nest.
// Costs about a microsecond per operator while any counter lives.
class FlopCounter {
 public:
  FlopCounter();
  ~FlopCounter();
  FlopCounter(const FlopCounter&) = delete;
  FlopCounter& operator=(const FlopCounter&) = delete;
  std::int64_t flops() const;

 private:
  std::int64_t start_;
};

}  // namespace expunge::tensor
