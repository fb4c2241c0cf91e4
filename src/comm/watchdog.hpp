// A thread that calls `on_stall` once when tick() was not called for the limit.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace expunge::comm {

class Watchdog {
 public:
  // `place` is this rank's place on its node. When ranks stall together, one that waits inside a collective
  // speaks later than one that does not, and higher places later than lower ones: one line is printed, by the
  // likely culprit.
  Watchdog(double limit_seconds, int place, std::function<void(const std::string&)> on_stall);
  ~Watchdog();

  void tick() { beats_.fetch_add(1, std::memory_order_relaxed); }
  void set_limit(double seconds);  // 0: off
  void suspend(bool suspended);

 private:
  void watch();

  std::function<void(const std::string&)> on_stall_;
  int place_;
  std::atomic<std::int64_t> beats_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  double limit_;
  bool suspended_ = false, ended_ = false;
  std::thread thread_;
};

}  // namespace expunge::comm
