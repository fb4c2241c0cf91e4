#include "engine/step_clock.hpp"

#include <algorithm>
#include <chrono>

namespace expunge {
namespace {

using Clock = comm::Watched::Clock;

double seconds_between(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

int StepClock::begin_step() {
  const auto now = Clock::now();
  if (samples_ > 0) {
    const double step = seconds_between(began_, now), inside = comm_.seconds() - inside_before_;
    steps_.push_back({{step, step - inside, input - input_before_},
                      seconds_between(began_, comm_.first_began()),
                      seconds_between(comm_.last_ended(), now),
                      samples_});
  }
  samples_ = 0;
  inside_before_ = comm_.seconds(), input_before_ = input;
  began_ = Clock::now();
  comm_.mark();
  return static_cast<std::int64_t>(whole().size()) >= wanted_ ? kPollStop : 0;
}

std::vector<MeasuredStep> StepClock::whole() const {
  std::int64_t most = 0;
  for (const auto& s : steps_) most = std::max(most, s.samples);
  std::vector<MeasuredStep> out;
  for (const auto& s : steps_)
    if (s.samples == most) out.push_back(s);
  return out;
}

void TimedSource::load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const {
  const auto began = Clock::now();
  inner_.load(ids, pass, into);
  seconds_ += seconds_between(began, Clock::now());
}

}  // namespace expunge
