// What the stores of a folder said when they were last read, so that the next merge opens only new ones. A
// store is the same while its size and its times of change are. The file is a list of entries by file name,
// each with its own hash, written while stores are folded: a damaged or cut one costs the entries from there
// on. Settings that cells share stand once, in an entry of their own before the first that needs them.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "board/found.hpp"
#include "core/files.hpp"

namespace expunge::board {

struct FileVersion {
  std::uint64_t size = 0;
  std::int64_t modified = 0, changed = 0;  // nanoseconds; the second time cannot be set back
  bool operator==(const FileVersion&) const = default;
  static FileVersion of(const struct stat& info);
};

// A store file of the scanned folder.
struct StoreFile {
  std::string name;     // relative to the scanned folder
  std::string problem;  // why it cannot be read, where that is known already
  FileVersion version;
  ino_t inode = 0;
  bool known = false;  // to the index, as it is now
};

// The entries of an index, one after the other; ends where one is damaged. Memory does not grow with the
// file: pages that were read are given back.
class IndexEntries {
 public:
  // Nothing where there is no such file, or one with another head.
  IndexEntries(const std::filesystem::path& path, const std::string& head, SettingsPool& pool);
  IndexEntries from_the_start() const;  // of the very same file
  bool next();                          // to the next store; false at the end
  std::string_view file() const { return file_; }
  const FileVersion& version() const { return version_; }
  Found found() const;  // what that store said

 private:
  bool read_entry();
  void give_back();

  std::shared_ptr<const MappedFile> mapped_;  // null: at the end
  SettingsPool* pool_;
  std::size_t begin_ = 0, at_ = 0, given_back_ = 0;
  std::unordered_map<std::uint64_t, std::shared_ptr<const SettingsText::Frame>> frames_;
  std::string file_;
  std::string_view content_;
  FileVersion version_;
};

class StoreIndex {
 public:
  // `path`: empty: knows nothing, keeps nothing.
  StoreIndex(std::filesystem::path path, const std::string& row_schema_sha256, SettingsPool& pool);
  ~StoreIndex();
  StoreIndex(const StoreIndex&) = delete;
  StoreIndex& operator=(const StoreIndex&) = delete;

  // Marks those of the files, which are sorted by name, that the index knows as they are now. They must stay
  // where they are until `publish`.
  void mark_known(std::span<StoreFile> files);
  // What a known file said. To be called for all of them, in order.
  Found take(const StoreFile& file);
  // Of a file that is not known, in order, too; good stores are kept.
  void add(const Found& found, const StoreFile& file);
  // Replaces the file where something is news. Where it cannot be written the next merge is slower, no more.
  void publish();

 private:
  void start(const StoreFile* upto);  // a new file, with the known ones before this one
  void write(const Found& found, const FileVersion& version);
  void write_entry(const std::string& body);
  void give_up();  // says why there will be no new file
  void discard();

  std::filesystem::path path_, temporary_;
  std::string head_;
  std::span<StoreFile> files_;
  IndexEntries old_, taken_;
  bool failed_ = false;
  std::FILE* next_ = nullptr;
  std::unordered_map<std::uint64_t, std::shared_ptr<const SettingsText::Frame>> written_;
};

}  // namespace expunge::board
