// Takes the steps of a run apart from outside, for measurements.
#pragma once

#include <vector>

#include "comm/watched.hpp"
#include "engine/setup.hpp"
#include "stat/scaling_model.hpp"

namespace expunge {

// A step of this rank, seconds: until its first collective (grains), and after its last one (clipping,
// optimiser).
struct MeasuredStep {
  stat::RankStep part;
  double grains = 0, fixed = 0;
  std::int64_t samples = 0;
};

class StepClock {
 public:
  // Asks the run to stop once `wanted` whole steps are there. `comm`: the ranks of the run.
  StepClock(comm::Watched& comm, std::int64_t wanted) : comm_(comm), wanted_(wanted) {}

  double input = 0;  // seconds of reading samples, counted by TimedSource

  // For Setup::poll and Setup::progress: asked at the start of each step, told its samples at the end.
  int begin_step();
  void end_step(std::int64_t samples) { samples_ = samples; }

  // Steps with all the samples that a step of this run has; the same ones on every rank. Passes end with
  // shorter ones.
  std::vector<MeasuredStep> whole() const;

 private:
  comm::Watched& comm_;
  std::int64_t wanted_, samples_ = 0;
  std::vector<MeasuredStep> steps_;
  comm::Watched::Clock::time_point began_;
  double inside_before_ = 0, input_before_ = 0;
};

// Reads through another source, which outlives it, and adds the seconds.
class TimedSource : public SampleSource {
 public:
  TimedSource(const SampleSource& inner, double& seconds) : inner_(inner), seconds_(seconds) {}
  void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const override;

 private:
  const SampleSource& inner_;
  double& seconds_;
};

}  // namespace expunge
