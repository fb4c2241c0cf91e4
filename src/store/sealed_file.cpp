#include "store/sealed_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/build_info.hpp"
#include "core/error.hpp"
#include "core/fault.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "store/record.hpp"
#include "store/seal.hpp"

namespace expunge::store {
namespace {

constexpr std::string_view kMagic = "expunge hdf5 seal 1\n";

// Files up to this size are read in one go, larger ones piece by piece.
constexpr off_t kReadWhole = 1 << 20;

void write_all(int fd, std::string_view bytes, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      throw DataError::cannot_write(
          fmt::format("{}: cannot write: {}", path.string(), std::strerror(n < 0 ? errno : ENOSPC)));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

// Seal and body under the temporary name; nothing stays there when that fails.
void write_bytes(const fs::path& temporary, std::string_view seal, std::string_view body,
                 const fs::path& path) {
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0)
    throw DataError::cannot_write(
        fmt::format("{}: cannot create: {}", temporary.string(), std::strerror(errno)));
  try {
    fault::at_stage("create");
    if (fault::disk_is_full())
      throw DataError::cannot_write(
          fmt::format("{}: cannot write: {} (EXPUNGE_FAULT)", path.string(), std::strerror(ENOSPC)));
    write_all(fd, seal, path);
    write_all(fd, body.substr(0, body.size() / 2), path);
    fault::at_stage("write");
    write_all(fd, body.substr(body.size() / 2), path);
    if (fault::cuts_files_short() && ::ftruncate(fd, static_cast<off_t>(body.size() / 2)) != 0) ::abort();
  } catch (...) {
    ::close(fd);
    ::unlink(temporary.c_str());
    throw;
  }
  // Network file systems report a full disk here.
  if (::close(fd) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    throw DataError::cannot_write(fmt::format("{}: cannot write: {}", path.string(), std::strerror(error)));
  }
  fault::at_stage("flush");
}

void check_seal(std::string_view bytes, const std::string& path) {
  const auto damaged = [&](const std::string& why) {
    return DataError::corrupt(fmt::format("{}: {}", path, why));
  };
  if (bytes.size() < kMagic.size() || bytes.substr(0, kMagic.size()) != kMagic)
    throw damaged(bytes.empty() ? "the file is empty"
                                : "damaged, or not written by this program (no seal in its first bytes)");
  if (bytes.size() <= h5::kUserBlock) throw damaged(fmt::format("truncated to {} bytes", bytes.size()));
  const std::string_view body = bytes.substr(h5::kUserBlock);
  const std::string expected = seal_of(body);
  if (bytes.substr(0, h5::kUserBlock) == expected) return;
  const auto at = bytes.find("\nbytes ");
  if (at < h5::kUserBlock) {
    const auto length = std::strtoull(std::string(bytes.substr(at + 7, 20)).c_str(), nullptr, 10);
    if (length > body.size())
      throw damaged(fmt::format("truncated: {} bytes of {}", bytes.size(), length + h5::kUserBlock));
    if (length < body.size()) throw damaged(fmt::format("{} bytes too long", body.size() - length));
  }
  throw damaged("damaged: its hash does not match its contents");
}

// A file system that lost a part of what it accepted is noticed before the file gets its name.
void verify_written(const fs::path& temporary, const fs::path& path) {
  try {
    verify_seal(temporary);
  } catch (const DataError& error) {
    ::unlink(temporary.c_str());
    std::string reason = error.what();
    const std::string prefix = temporary.string() + ": ";
    if (reason.rfind(prefix, 0) == 0) reason.erase(0, prefix.size());
    throw DataError::cannot_write(
        fmt::format("{}: what reached the disk is not what was written: {}", path.string(), reason));
  }
}

}  // namespace

std::string seal_of(std::string_view body) {
  std::string seal =
      fmt::format("{}xxh3-128 {}\nbytes {}\n", kMagic, xxh128_hex(body.data(), body.size()), body.size());
  seal.resize(h5::kUserBlock, '\0');
  return seal;
}

bool write_sealed(const fs::path& path, const std::string& kind, Publish how, std::size_t expected_bytes,
                  const std::function<void(const h5::Handle&)>& fill,
                  const std::function<void(const fs::path&)>& taken, std::string_view tail) {
  if (path.has_parent_path()) make_folder(path.parent_path());
  const fs::path temporary = temporary_name(path);
  try {
    h5::Handle file = h5::create_in_memory(std::clamp<std::size_t>(expected_bytes, 16 << 10, 64 << 20));
    h5::set_attribute(file, "schema_version", kSchemaVersion);
    h5::set_attribute(file, "kind", kind);
    fill(file);
    h5::set_attribute(file, "complete", std::int64_t{1});
    const auto bytes = h5::image(file);
    std::string_view body(bytes.data() + h5::kUserBlock, bytes.size() - h5::kUserBlock);
    std::string longer;
    if (!tail.empty()) {
      longer.reserve(body.size() + tail.size());
      longer.append(body).append(tail);
      body = longer;
    }
    write_bytes(temporary, seal_of(body), body, path);
    file.close();
    verify_written(temporary, path);
  } catch (const h5::Failure& failure) {
    ::unlink(temporary.c_str());
    throw DataError::cannot_write(
        fmt::format("{}: cannot build the file: {}", path.string(), failure.what()));
  }
  if (how == Publish::kReplace) {
    publish_replace(temporary, path);
    return true;
  }
  if (publish_first(temporary, path)) return true;
  try {
    if (taken) taken(temporary);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  ::unlink(temporary.c_str());
  return false;
}

void write_build(hid_t file) {
  h5::set_attribute(file, "program_version", std::string(build_info::kVersion));
  h5::set_attribute(file, "git_hash", std::string(build_info::kGitHash));
  h5::set_attribute(file, "git_dirty", std::int64_t{build_info::kGitDirty});
  h5::set_attribute(file, "compiler", std::string(build_info::kCompiler));
  h5::set_attribute(file, "hdf5_version",
                    fmt::format("{}.{}.{}", H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE));
}

void verify_seal(const fs::path& path) {
  const MappedFile file(path);
  check_seal(file.view(), path.string());
}

SealedBytes::SealedBytes(const fs::path& path) {
  struct stat info {};
  // A pipe or a device would block or never end.
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    throw DataError::missing(fmt::format("{}: not a file", path.string()));
  if (info.st_size < kReadWhole)
    read_ = read_file(path);
  else
    mapped_ = std::make_unique<MappedFile>(path);
  check_seal(view(), path.string());
}

h5::Handle open_sealed(const fs::path& path, const SealedBytes& bytes) {
  h5::Handle file;
  reading(path, [&] {
    file = bytes.mapped() ? h5::open_file(path) : h5::open_bytes(bytes.view());
    const auto schema = h5::integer_attribute(file, "schema_version");
    if (schema != kSchemaVersion)
      throw DataError::corrupt(fmt::format("{}: has schema {}, this program reads schema {}", path.string(),
                                           schema, kSchemaVersion));
    if (h5::integer_attribute(file, "complete") != 1)
      throw DataError::corrupt(fmt::format("{}: not marked complete", path.string()));
  });
  return file;
}

h5::Handle open_sealed(const fs::path& path) { return open_sealed(path, SealedBytes(path)); }

void reading(const fs::path& path, const std::function<void()>& read) {
  try {
    read();
  } catch (const h5::Failure& failure) {
    throw DataError::corrupt(fmt::format("{}: {}", path.string(), failure.what()));
  }
}

}  // namespace expunge::store
