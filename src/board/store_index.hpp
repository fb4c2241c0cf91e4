// What the stores of a folder said when they were last read, so that the next merge opens only new ones. A
// store is the same while its size and its times of change are. The file is a list of entries, each with its
// own hash, written while stores are folded: a damaged or cut one costs the entries from there on.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "board/scan.hpp"
#include "core/files.hpp"

namespace expunge::board {

struct FileVersion {
  std::uint64_t size = 0;
  std::int64_t modified = 0, changed = 0;  // nanoseconds; the second time cannot be set back
  bool operator==(const FileVersion&) const = default;
  static FileVersion of(const struct stat& info);
};

class StoreIndex {
 public:
  // Reads the file, if there is one that was made for these columns. An empty path: knows nothing, keeps
  // nothing.
  StoreIndex(std::filesystem::path path, std::string row_schema_sha256);
  ~StoreIndex();
  StoreIndex(const StoreIndex&) = delete;
  StoreIndex& operator=(const StoreIndex&) = delete;

  // True when the index knows this file as it is now.
  bool knows(const std::string& file, const FileVersion& version) const;
  // Before the folding: starts a new file where something is news, with `known` files to be taken and `fresh`
  // ones to be added.
  void begin(std::size_t known, const std::vector<Found>& fresh);
  Found take(const std::string& file);                       // of a file that the index knows
  void add(const Found& found, const FileVersion& version);  // of one that it does not; good stores are kept
  // Replaces the file. Where it cannot be written the next merge is slower, no more.
  void publish();

 private:
  struct Entry {
    FileVersion version;
    std::string_view bytes, header;  // of the whole entry; of what the store said
  };
  void parse();
  void write(std::string_view bytes);
  void give_up();  // says why there will be no new file
  void discard();

  std::filesystem::path path_, temporary_;
  std::string schema_;
  std::unique_ptr<MappedFile> old_;
  std::unordered_map<std::string_view, Entry> known_;
  std::FILE* next_ = nullptr;
};

}  // namespace expunge::board
