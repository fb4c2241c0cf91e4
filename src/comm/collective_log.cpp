#include "comm/collective_log.hpp"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string_view>

namespace expunge::comm {
namespace {

std::atomic<std::int64_t> number_{0};
std::atomic<const char*> name_{""};
std::atomic<int> inside_{0};
thread_local int depth_ = 0;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

CollectiveScope::CollectiveScope(const char* name, double* seconds) : seconds_(seconds) {
  if (depth_++ == 0) {
    name_ = name;
    ++number_;
    ++inside_;
  }
  if (seconds_) began_ns_ = now_ns();
}

CollectiveScope::~CollectiveScope() {
  if (seconds_) *seconds_ += 1e-9 * static_cast<double>(now_ns() - began_ns_);
  if (--depth_ == 0) --inside_;
}

const char* collective_name() { return name_; }
bool inside_collective() { return inside_ > 0; }

std::string last_collective() {
  const auto number = number_.load();
  return number == 0 ? "no collective yet" : fmt::format("last collective #{} {}", number, name_.load());
}

bool checks_collectives() {
  static const bool on = [] {
    const char* value = std::getenv("EXPUNGE_CHECK_COLLECTIVES");
    return value && *value && std::string_view(value) != "0";
  }();
  return on;
}

}  // namespace expunge::comm
