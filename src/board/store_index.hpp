// What the stores of a folder said when they were last read, so that the next merge opens only new ones. A
// store is the same while its size and time of change are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>

#include "board/scan.hpp"

namespace expunge::board {

class StoreIndex {
 public:
  // Reads the file, if there is one that is whole and was made for these columns.
  StoreIndex(std::filesystem::path path, std::string row_schema_sha256);

  // True when the index knows this file as it is now. Remembers what it is now.
  bool look_up(const std::filesystem::path& folder, const std::string& file);
  Found take(const std::string& file);  // of a file that look_up knew
  void add(Found& found);               // of a file that look_up did not know; only good stores are kept
  // Replaces the file with what was taken and added, where that is news. Where it cannot be written the next
  // merge is slower, no more.
  void save();

 private:
  struct Version {
    std::uint64_t size = 0;
    std::int64_t changed = 0;  // nanoseconds
    bool operator==(const Version&) const = default;
  };
  struct Entry {
    Version version;
    std::string_view packed;  // into bytes_
  };
  void parse();

  std::filesystem::path path_;
  std::string schema_, bytes_, next_;  // the file; the file to be
  std::unordered_map<std::string, Entry> known_;
  std::unordered_map<std::string, Version> now_;
  std::size_t taken_ = 0, added_ = 0;
};

}  // namespace expunge::board
