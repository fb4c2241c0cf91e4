// Where the samples of a stream come from.
#pragma once

#include <cstdint>
#include <vector>

#include "tasks/task.hpp"

namespace expunge {

// `load` fills inputs and labels of the batch, on the device, for these ids; pass numbers drive the
// augmentation (negative: none). A pure function of its arguments; called by one thread.
class SampleSource {
 public:
  virtual ~SampleSource() = default;
  virtual void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const = 0;
};

}  // namespace expunge
