#include "board/store_index.hpp"

#include <sys/stat.h>

#include "board/pack.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "core/log.hpp"

namespace expunge::board {
namespace {

constexpr std::string_view kMagic = "expunge index 1\n";
constexpr std::size_t kHashDigits = 32;

}  // namespace

StoreIndex::StoreIndex(fs::path path, std::string row_schema_sha256)
    : path_(std::move(path)), schema_(std::move(row_schema_sha256)) {
  std::error_code ignored;
  if (!fs::exists(path_, ignored)) return;
  try {
    bytes_ = read_file(path_);
    parse();
  } catch (const Error&) {  // damaged: every store is read again
    known_.clear();
  }
}

void StoreIndex::parse() {
  const std::string_view all = bytes_;
  const std::size_t head = kMagic.size() + kHashDigits;
  if (all.size() < head || all.substr(0, kMagic.size()) != kMagic) return;
  const auto body = all.substr(head);
  if (xxh128_hex(body.data(), body.size()) != all.substr(kMagic.size(), kHashDigits)) return;
  Bytes from(body);
  if (from.text() != schema_) return;
  while (!from.empty()) {
    const std::string file(from.text());
    Entry entry;
    entry.version.size = from.number<std::uint64_t>();
    entry.version.changed = from.number<std::int64_t>();
    entry.packed = from.text();
    known_.emplace(file, entry);
  }
}

bool StoreIndex::look_up(const fs::path& folder, const std::string& file) {
  struct stat info {};
  if (::stat((folder / file).c_str(), &info) != 0) return false;
  const Version version{
      static_cast<std::uint64_t>(info.st_size),
      static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec};
  now_[file] = version;
  const auto found = known_.find(file);
  return found != known_.end() && found->second.version == version;
}

Found StoreIndex::take(const std::string& file) {
  const Entry& entry = known_.at(file);
  ++taken_;
  Writer to;
  to.text(file);
  to.number(entry.version.size);
  to.number(entry.version.changed);
  to.text(entry.packed);
  next_ += to.bytes();
  Bytes from(entry.packed);
  return unpack(from);
}

void StoreIndex::add(Found& found) {
  if (!found.state.empty()) return;
  const auto version = now_.find(found.file);
  if (version == now_.end()) return;
  ++added_;
  Writer packed, to;
  pack(packed, found);
  to.text(found.file);
  to.number(version->second.size);
  to.number(version->second.changed);
  to.text(packed.bytes());
  next_ += to.bytes();
}

void StoreIndex::save() {
  if (added_ == 0 && taken_ == known_.size()) return;
  Writer schema;
  schema.text(schema_);
  std::string body = schema.bytes() + next_;
  try {
    write_file_atomic(path_, std::string(kMagic) + xxh128_hex(body.data(), body.size()) + body);
  } catch (const DataError& error) {
    log::warn("{}; the next reduce reads every store again", error.what());
  }
}

}  // namespace expunge::board
