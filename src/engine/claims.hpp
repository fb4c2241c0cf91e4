// Claims: who works on which node of a sweep, so that several groups and several jobs can share one output
// folder. A claim is a file made with O_EXCL that names its owner; its modification time is the owner's
// heartbeat. A claim whose owner died (same host) or whose heartbeat stopped is taken over.
#pragma once

#include <atomic>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace expunge {

class Claims {
 public:
  // Heartbeats every `beat_seconds`; foreign claims are stale after `stale_seconds` without one.
  explicit Claims(double beat_seconds = 10, double stale_seconds = 120);
  ~Claims();  // releases what is still held

  // True when this process now holds `path`. False when someone else, alive, does. DataError 73 when the
  // folder cannot be written.
  bool take(const std::filesystem::path& path);
  void release(const std::filesystem::path& path);
  // "HOST, process 123" of the owner, or "" when there is no claim.
  static std::string owner(const std::filesystem::path& path);

 private:
  bool create(const std::filesystem::path& path);
  bool stale(const std::filesystem::path& path) const;

  double stale_seconds_;
  std::mutex mutex_;
  std::set<std::filesystem::path> held_;
  std::atomic<bool> stop_{false};
  std::thread heart_;
};

}  // namespace expunge
