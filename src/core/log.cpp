#include "core/log.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/files.hpp"

namespace expunge::log {
namespace {
std::atomic<Format> format_{Format::kText};
std::atomic<int> rank_{0}, ranks_{1};
std::atomic<bool> quiet_{false};
}  // namespace

void set_format(Format format) { format_ = format; }
void set_rank(int rank, int ranks) { rank_ = rank, ranks_ = ranks; }
void set_quiet(bool quiet) { quiet_ = quiet; }
bool to_terminal() { return format_ == Format::kText && ::isatty(STDERR_FILENO) == 1; }
std::string rank_prefix() {
  return ranks_ > 1 ? fmt::format("[rank {}/{}] ", rank_.load(), ranks_.load()) : "";
}

void write(std::string_view level, std::string_view message, bool all_ranks) {
  if (!all_ranks && (rank_ != 0 || quiet_)) return;
  std::string line;
  if (format_ == Format::kJson) {
    line = nlohmann::json{{"time", utc_now()}, {"level", level}, {"rank", rank_.load()}, {"message", message}}
               .dump();
  } else {
    line = rank_prefix();
    if (level != "info") line += fmt::format("{}: ", level);
    line += message;
  }
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);  // one call a line: lines of several ranks do not mix
  std::fflush(stderr);
}

}  // namespace expunge::log
