#include "core/files.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

#include "core/error.hpp"
#include "core/fault.hpp"

namespace expunge {
namespace {

void sync_path(const fs::path& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0)
    throw DataError::cannot_write(
        fmt::format("{}: cannot open to sync: {}", path.string(), std::strerror(errno)));
  const int rc = ::fsync(fd), error = errno;
  ::close(fd);
  // Some file systems refuse fsync on folders (EINVAL): the rename is then as durable as they make it.
  if (rc != 0 && !(error == EINVAL && (flags & O_DIRECTORY)))
    throw DataError::cannot_write(fmt::format("{}: cannot sync: {}", path.string(), std::strerror(error)));
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// Over `path`. A folder that is in the place keeps its contents under another name.
bool rename_over(const fs::path& temporary, const fs::path& path) {
  if (::rename(temporary.c_str(), path.c_str()) == 0) return true;
  if (errno != EISDIR) return false;
  const std::string aside = fmt::format("{}.aside.{}.{}", path.string(), host_name(), ::getpid());
  return ::rename(path.c_str(), aside.c_str()) == 0 && ::rename(temporary.c_str(), path.c_str()) == 0;
}

}  // namespace

std::string read_file(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    throw DataError::missing(fmt::format("{}: cannot open: {}", path.string(), std::strerror(errno)));
  struct stat info {};
  if (::fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
    ::close(fd);
    throw DataError::missing(fmt::format("{}: not a file", path.string()));
  }
  // A byte more than there is: the read that finds the end needs a place to write to.
  std::string out(static_cast<std::size_t>(info.st_size) + 1, '\0');
  std::size_t at = 0;
  while (true) {
    if (at == out.size()) out.resize(out.size() + 4096);  // files under /proc report size 0
    const ssize_t n = ::read(fd, out.data() + at, out.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      ::close(fd);
      throw DataError::corrupt(fmt::format("{}: cannot read: {}", path.string(), std::strerror(error)));
    }
    if (n == 0) break;
    at += static_cast<std::size_t>(n);
  }
  ::close(fd);
  out.resize(at);
  return out;
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    throw DataError::cannot_write(
        fmt::format("{}: cannot create folder: {}", folder.string(), error.message()));
}

fs::path temporary_name(const fs::path& path) {
  return fs::path(fmt::format("{}.tmp.{}.{}", path.string(), host_name(), ::getpid()));
}

void publish_replace(const fs::path& temporary, const fs::path& path) {
  try {
    sync_path(temporary, O_RDONLY);
    fault::at_stage("fsync");
    if (!rename_over(temporary, path))
      throw DataError::cannot_write(
          fmt::format("{}: cannot publish: {}", path.string(), std::strerror(errno)));
    fault::at_stage("rename");
    sync_path(folder_of(path), O_RDONLY | O_DIRECTORY);
    fault::at_stage("folder");
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

bool publish_first(const fs::path& temporary, const fs::path& path) {
  try {
    sync_path(temporary, O_RDONLY);
    fault::at_stage("fsync");
    if (::link(temporary.c_str(), path.c_str()) != 0) {
      if (errno == EEXIST) return false;
      throw DataError::cannot_write(
          fmt::format("{}: cannot publish: {}", path.string(), std::strerror(errno)));
    }
    fault::at_stage("rename");
    sync_path(folder_of(path), O_RDONLY | O_DIRECTORY);
    fault::at_stage("folder");
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  ::unlink(temporary.c_str());
  return true;
}

void write_file_atomic(const fs::path& path, std::string_view content) {
  const fs::path temporary = temporary_name(path);
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0)
    throw DataError::cannot_write(
        fmt::format("{}: cannot create: {}", temporary.string(), std::strerror(errno)));
  std::size_t at = 0;
  while (at < content.size()) {
    const ssize_t n = ::write(fd, content.data() + at, content.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int error = errno;
      ::close(fd);
      ::unlink(temporary.c_str());
      throw DataError::cannot_write(fmt::format("{}: cannot write: {}", path.string(), std::strerror(error)));
    }
    at += static_cast<std::size_t>(n);
  }
  ::close(fd);
  publish_replace(temporary, path);
}

MappedFile::MappedFile(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    throw DataError::missing(fmt::format("{}: cannot open: {}", path.string(), std::strerror(errno)));
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    throw DataError::missing(fmt::format("{}: not a file", path.string()));
  }
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ > 0) {
    void* map = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, 0);
    const int error = errno;
    ::close(fd);
    if (map == MAP_FAILED)
      throw DataError::missing(fmt::format("{}: cannot map: {}", path.string(), std::strerror(error)));
    data_ = static_cast<const std::uint8_t*>(map);
  } else {
    ::close(fd);
  }
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::uint8_t*>(data_), size_);
}

fs::path program_path() {
  std::error_code unknown;
  return fs::read_symlink("/proc/self/exe", unknown);
}

std::string host_name() {
  char name[256] = "unknown";
  ::gethostname(name, sizeof name - 1);
  return name;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm tm{};
  ::gmtime_r(&now, &tm);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
  return text;
}

}  // namespace expunge
