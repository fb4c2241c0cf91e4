#include "engine/claims.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/log.hpp"

namespace expunge {

namespace {

// The element of the scheduler that this process belongs to, "12_3"; empty outside of one.
std::string element_name() {
  const char* array = std::getenv("SLURM_ARRAY_JOB_ID");
  const char* task = std::getenv("SLURM_ARRAY_TASK_ID");
  const char* job = std::getenv("SLURM_JOB_ID");
  if (array && task) return fmt::format("{}_{}", array, task);
  return job ? job : "";
}

std::int64_t restart_number() {
  const char* text = std::getenv("SLURM_RESTART_COUNT");
  return text ? std::strtoll(text, nullptr, 10) : 0;
}

nlohmann::json identity() {
  return {
      {"host", host_name()}, {"pid", ::getpid()}, {"element", element_name()}, {"restart", restart_number()}};
}

// A process that has ended but was not waited for yet still answers to signal 0.
bool is_gone(pid_t pid) {
  if (::kill(pid, 0) != 0) return errno == ESRCH;
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto name_end = text.rfind(") ");
  return name_end != std::string::npos && (text[name_end + 2] == 'Z' || text[name_end + 2] == 'X');
}

bool is_mine(const std::filesystem::path& path) {
  try {
    const auto owner = nlohmann::json::parse(read_file(path));
    return owner.at("host") == host_name() && owner.at("pid") == ::getpid();
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

Claims::Claims(double beat_seconds, double stale_seconds) : stale_seconds_(stale_seconds) {
  heart_ = std::thread([this, beat_seconds] {
    auto next = std::chrono::steady_clock::now();
    while (!stop_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      if (std::chrono::steady_clock::now() < next) continue;
      next += std::chrono::milliseconds(static_cast<long>(beat_seconds * 1e3));
      const std::lock_guard lock(mutex_);
      for (const auto& path : held_) ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
    }
  });
}

Claims::~Claims() {
  stop_ = true;
  heart_.join();
  for (const auto& path : held_)
    if (is_mine(path)) ::unlink(path.c_str());  // it may have been taken over
}

bool Claims::create(const std::filesystem::path& path) {
  make_folder(path.parent_path());
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) {
    if (errno == EEXIST) return false;
    throw DataError::cannot_write(fmt::format("{}: cannot claim: {}", path.string(), std::strerror(errno)));
  }
  auto owner = identity();
  owner["since"] = utc_now();
  const std::string text = owner.dump() + "\n";
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  ::close(fd);
  if (!written) {
    ::unlink(path.c_str());
    throw DataError::cannot_write(fmt::format("{}: cannot claim: {}", path.string(), std::strerror(error)));
  }
  const std::lock_guard lock(mutex_);
  held_.insert(path);
  return true;
}

bool Claims::stale(const std::filesystem::path& path) const {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return false;  // gone: the next take() decides
  try {
    const auto owner = nlohmann::json::parse(read_file(path));
    const auto pid = owner.at("pid").get<pid_t>();
    const std::string element = element_name();
    if (!element.empty() && owner.value("element", "") == element &&
        owner.value("restart", std::int64_t{0}) < restart_number())
      return true;
    if (owner.at("host") == host_name()) return pid != ::getpid() && is_gone(pid);
  } catch (const std::exception&) {
    // Half-written by a process that died in between: its age decides.
  }
  return std::difftime(std::time(nullptr), info.st_mtime) > stale_seconds_;
}

bool Claims::take(const std::filesystem::path& path) {
  if (create(path)) return true;
  if (!stale(path)) return false;
  // Of several processes that see the stale claim, one wins the rename; the others find no file to rename.
  const fs::path grave = temporary_name(path);
  const std::string former = owner(path);
  if (::rename(path.c_str(), grave.c_str()) != 0) return false;
  ::unlink(grave.c_str());
  log::warn("{}: taking over from {}, which is gone", path.stem().string(), former);
  return create(path);
}

void Claims::release(const std::filesystem::path& path) {
  const std::lock_guard lock(mutex_);
  if (held_.erase(path) && is_mine(path)) ::unlink(path.c_str());
}

std::string Claims::owner(const std::filesystem::path& path) {
  try {
    const auto owner = nlohmann::json::parse(read_file(path));
    return fmt::format("{}, process {}", owner.at("host").get<std::string>(), owner.at("pid").get<long>());
  } catch (const std::exception&) {
    return "";
  }
}

}  // namespace expunge
