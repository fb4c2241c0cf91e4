// Reads the samples of a grain before they are asked for, on a thread of its own, while another grain is
// computed.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <c10/core/Event.h>

#include "engine/sample_source.hpp"

namespace expunge {

// Which samples a grain reads.
struct GrainSamples {
  std::vector<std::int64_t> ids;
  std::int64_t pass = 0;
  bool operator==(const GrainSamples&) const = default;
};

class InputAhead {
 public:
  // Reads through `source`, which outlives this and is a pure function (SampleSource). Copies to a GPU are
  // queued on a stream of this object's own.
  InputAhead(const SampleSource& source, torch::Device device);
  ~InputAhead();
  InputAhead(const InputAhead&) = delete;
  InputAhead& operator=(const InputAhead&) = delete;

  // Begins to read these samples. What was begun before and not taken is forgotten, once it is read.
  void start(GrainSamples samples);
  // Fills inputs and labels of `into` if these samples are the ones that were begun; waits until they are
  // read, and lets the current stream wait until they are copied. False, with `into` as it was, for others.
  // Raises what reading them raised.
  bool take(const GrainSamples& samples, Batch& into);

 private:
  enum class Phase { kIdle, kWanted, kRead, kOver };
  void work();
  void read();

  const SampleSource& source_;
  const torch::Device device_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Phase phase_ = Phase::kIdle;  // kWanted: the thread owns the fields below, else whoever holds the mutex
  GrainSamples samples_;
  Batch batch_;
  std::exception_ptr error_;
  std::optional<c10::Event> copied_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace expunge
