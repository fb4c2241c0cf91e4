#include "core/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "core/log.hpp"
#include "core/text.hpp"

namespace expunge {

Progress::Progress(std::string title, std::string unit, std::int64_t total)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(total),
      enabled_(log::to_terminal()),
      start_(Clock::now()) {}

Progress::~Progress() {
  if (enabled_ && drawn_ != Clock::time_point{}) std::fputs("\r\033[K", stderr);
}

void Progress::add(std::int64_t done) {
  done_ += done;
  if (!enabled_) return;
  const auto now = Clock::now();
  if (now - drawn_ < std::chrono::milliseconds(100)) return;
  drawn_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done_) / seconds : 0;
  const double share =
      total_ > 0 ? std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_)) : 0;
  constexpr int kWidth = 28;
  const int full = static_cast<int>(share * kWidth);
  const double left = rate > 0 ? static_cast<double>(std::max<std::int64_t>(0, total_ - done_)) / rate : 0;
  const std::string line =
      fmt::format("\r\033[K{} [{:=<{}}{: <{}}] {:3.0f}% {:.0f} {}/s, {} left", title_, "", full, "",
                  kWidth - full, share * 100, rate, unit_, human_seconds(left));
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
}

}  // namespace expunge
