// Files: whole-file reads with clear errors, and atomic publication (temporary name in the same folder,
// fsync, rename or link, fsync of the folder). A file under its final name is complete.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace expunge {

namespace fs = std::filesystem;

// The whole file. DataError 66 when absent or unreadable.
std::string read_file(const fs::path& path);

// Creates the folder and its parents. DataError 73 when that is not possible.
void make_folder(const fs::path& folder);

// Name for a file that is still being written: PATH.tmp.HOST.PID
fs::path temporary_name(const fs::path& path);

// Publishes what lies under `temporary`: fsync, rename over `path`, fsync of the folder. DataError 73 on
// failure; the temporary file is then removed.
void publish_replace(const fs::path& temporary, const fs::path& path);

// The same with link(2): the first publisher of `path` wins. False when `path` existed already; `temporary`
// is then left for the caller to compare and remove.
bool publish_first(const fs::path& temporary, const fs::path& path);

// Writes `content` atomically (publish_replace).
void write_file_atomic(const fs::path& path, std::string_view content);

// A file mapped read-only into memory; pages are shared by all ranks of a node. DataError 66 when it cannot
// be opened.
class MappedFile {
 public:
  explicit MappedFile(const fs::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  const std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

fs::path program_path();  // this program's file; empty where the system does not tell
std::string host_name();
std::string utc_now();  // 2026-11-21T12:00:00Z

}  // namespace expunge
