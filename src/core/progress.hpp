// A progress bar with rate and time left on a terminal; silent elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace expunge {

class Progress {
 public:
  // `unit` is what `total` counts ("samples"). Nothing is drawn unless standard error is a terminal.
  Progress(std::string title, std::string unit, std::int64_t total);
  ~Progress();  // clears the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void retitle(const std::string& title) { title_ = title; }
  void add(std::int64_t done);  // draws at most ten times a second

 private:
  using Clock = std::chrono::steady_clock;
  std::string title_, unit_;
  std::int64_t total_, done_ = 0;
  bool enabled_;
  Clock::time_point start_, drawn_;
};

}  // namespace expunge
