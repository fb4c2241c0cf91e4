#include "comm/watchdog.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "comm/collective_log.hpp"

namespace expunge::comm {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr double kInsideDelay = 1.0;  // seconds that a rank inside a collective waits for another to speak
constexpr double kPlaceDelay = 0.2;   // and for each lower place on the node
constexpr int kMostPlaces = 20;

}  // namespace

Watchdog::Watchdog(double limit_seconds, int place, std::function<void(const std::string&)> on_stall)
    : on_stall_(std::move(on_stall)), place_(place), limit_(limit_seconds), thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::set_limit(double seconds) {
  tick();
  {
    const std::lock_guard lock(mutex_);
    limit_ = seconds;
  }
  changed_.notify_all();
}

void Watchdog::suspend(bool suspended) {
  tick();
  {
    const std::lock_guard lock(mutex_);
    suspended_ = suspended;
  }
  changed_.notify_all();
}

void Watchdog::watch() {
  auto last_beat = beats_.load();
  auto since = Clock::now();
  std::unique_lock lock(mutex_);
  while (!ended_) {
    if (limit_ <= 0 || suspended_) {
      changed_.wait(lock);
      since = Clock::now();
      continue;
    }
    changed_.wait_for(lock, Seconds(std::clamp(limit_ / 10, 0.01, 1.0)));
    const auto now = Clock::now();
    if (const auto beat = beats_.load(); beat != last_beat || suspended_ || limit_ <= 0) {
      last_beat = beat;
      since = now;
      continue;
    }
    const bool inside = inside_collective();
    const double patience =
        limit_ + (inside ? kInsideDelay : 0) + kPlaceDelay * std::min(place_, kMostPlaces);
    if (ended_ || Seconds(now - since).count() < patience) continue;
    on_stall_(fmt::format("no progress for {:.4g} s, {}", limit_,
                          inside ? "waiting inside a collective: another rank is stuck or gone"
                                 : "outside any collective: this rank is stuck"));
    return;
  }
}

}  // namespace expunge::comm
