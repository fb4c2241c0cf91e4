#include "engine/input_ahead.hpp"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <utility>

namespace expunge {

InputAhead::InputAhead(const SampleSource& source, torch::Device device)
    : source_(source), device_(device), thread_([this] { work(); }) {}

InputAhead::~InputAhead() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return phase_ != Phase::kWanted; });
    phase_ = Phase::kOver;
  }
  changed_.notify_all();
  thread_.join();
}

void InputAhead::start(GrainSamples samples) {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return phase_ != Phase::kWanted; });
    samples_ = std::move(samples);
    phase_ = Phase::kWanted;
  }
  changed_.notify_all();
}

bool InputAhead::take(const GrainSamples& samples, Batch& into) {
  std::unique_lock lock(mutex_);
  if (phase_ == Phase::kIdle || samples_ != samples) return false;
  changed_.wait(lock, [this] { return phase_ != Phase::kWanted; });
  phase_ = Phase::kIdle;
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  if (copied_) {
    const c10::Stream stream = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
    copied_->block(stream);
    // The memory belongs to the other stream: it must not be used again there before this one is done.
    for (auto& [name, value] : batch_.inputs) value.record_stream(stream);
    batch_.labels.record_stream(stream);
  }
  into.inputs = std::move(batch_.inputs);
  into.labels = std::move(batch_.labels);
  batch_ = {};
  return true;
}

void InputAhead::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return phase_ == Phase::kWanted || phase_ == Phase::kOver; });
    if (phase_ == Phase::kOver) return;
    lock.unlock();
    batch_ = {};
    error_ = nullptr;
    try {
      read();
    } catch (...) {
      error_ = std::current_exception();
    }
    lock.lock();
    phase_ = Phase::kRead;
    changed_.notify_all();
  }
}

void InputAhead::read() {
  const torch::NoGradGuard no_grad;
  batch_.ids = samples_.ids;
  batch_.pass = samples_.pass;
  if (device_.is_cpu()) return source_.load(samples_.ids, samples_.pass, batch_);
  const c10::impl::VirtualGuardImpl device(device_.type());
  const c10::StreamGuard guard(device.getStreamFromGlobalPool(device_));
  source_.load(samples_.ids, samples_.pass, batch_);
  if (!copied_) copied_.emplace(device_.type());
  copied_->record(guard.current_stream());
}

}  // namespace expunge
