// Bytes of tensors that a thread allocates and frees while it lives: what LibTorch tells its profiler.
#pragma once

#include <c10/core/Allocator.h>

#include <algorithm>
#include <memory>

#include "tensor/torch.hpp"

namespace expunge::test {

class LiveBytes {
 public:
  LiveBytes() : count_(std::make_shared<Count>()), guard_(c10::DebugInfoKind::PROFILER_STATE, count_) {}
  std::int64_t now() const { return count_->now; }    // allocated since construction, less freed
  std::int64_t peak() const { return count_->peak; }  // the most at any time

 private:
  struct Count : c10::MemoryReportingInfoBase {
    std::int64_t now = 0, peak = 0;
    void reportMemoryUsage(void*, std::int64_t bytes, std::size_t, std::size_t, c10::Device) override {
      now += bytes;
      peak = std::max(peak, now);
    }
    bool memoryProfilingEnabled() const override { return true; }
  };
  std::shared_ptr<Count> count_;
  c10::DebugInfoGuard guard_;
};

}  // namespace expunge::test
