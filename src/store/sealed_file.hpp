// The envelope of every HDF5 file of this program. A 512-byte user block names the format and holds the
// length and the XXH3-128 hash of the rest, so a reader knows before HDF5 looks at a byte whether the file is
// whole. Bytes behind the HDF5 part (a store's summary) are under the seal, too; HDF5 passes over them. Files
// are built in memory, marked complete last and published under their final name in one step.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "core/files.hpp"
#include "store/h5.hpp"

namespace expunge::store {

enum class Publish {
  kFirst,    // link(2): whoever was first keeps the name
  kReplace,  // rename(2)
};

// Builds a file of this kind ("run", "original", "board", "checkpoint") with `fill` and publishes it, making
// its folder where needed. Sets `schema_version`, `kind` and, last, `complete`. False when the name is taken
// (kFirst); `taken`, if given, is then called with the path of the unpublished file, which is removed
// afterwards. `tail` follows the HDF5 part. DataError 73 on any failure; nothing half-written stays behind.
bool write_sealed(const std::filesystem::path& path, const std::string& kind, Publish how,
                  std::size_t expected_bytes, const std::function<void(const h5::Handle&)>& fill,
                  const std::function<void(const std::filesystem::path&)>& taken = {},
                  std::string_view tail = {});

// All bytes of a file whose seal is good. Small files are read, large ones mapped.
class SealedBytes {
 public:
  // Errors as for verify_seal.
  explicit SealedBytes(const std::filesystem::path& path);
  std::string_view view() const { return mapped_ ? mapped_->view() : std::string_view(read_); }
  bool mapped() const { return mapped_ != nullptr; }

 private:
  std::string read_;
  std::unique_ptr<MappedFile> mapped_;
};

// Checks length and hash. DataError 66 when there is no file, 65 with the reason when it is damaged or not
// ours.
void verify_seal(const std::filesystem::path& path);

// Opens a file whose seal was checked; DataError 65 when it is of another schema (with both numbers) or not
// complete. The second form checks the seal first.
h5::Handle open_sealed(const std::filesystem::path& path, const SealedBytes& bytes);
h5::Handle open_sealed(const std::filesystem::path& path);

// Which build wrote the file: program_version, git_hash, git_dirty, compiler, hdf5_version.
void write_build(hid_t file);

// Runs `read`; an HDF5 failure in it becomes DataError 65 with the path.
void reading(const std::filesystem::path& path, const std::function<void()>& read);

}  // namespace expunge::store
