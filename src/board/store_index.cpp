#include "board/store_index.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/log.hpp"
#include "store/summary.hpp"

namespace expunge::board {
namespace {

constexpr std::string_view kMagic = "expunge index 2\n";

// An entry as it lies in the file: its hash, then its text with the length in front.
std::string entry_of(const std::string& body) {
  store::Writer out;
  out.number(xxh64(body.data(), body.size()));
  out.text(body);
  return out.bytes();
}

std::int64_t nanoseconds(const timespec& t) {
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

FileVersion FileVersion::of(const struct stat& info) {
  return {static_cast<std::uint64_t>(info.st_size), nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

StoreIndex::StoreIndex(fs::path path, std::string row_schema_sha256)
    : path_(std::move(path)), schema_(std::move(row_schema_sha256)) {
  std::error_code ignored;
  if (path_.empty() || !fs::exists(path_, ignored)) return;
  try {
    old_ = std::make_unique<MappedFile>(path_);
    parse();
  } catch (const Error&) {  // unreadable, or cut within an entry: what follows is read from the stores
  }
}

StoreIndex::~StoreIndex() { discard(); }

void StoreIndex::parse() {
  const std::string_view all = old_->view();
  if (!all.starts_with(kMagic)) return;
  store::Bytes from(all.substr(kMagic.size()));
  if (from.text() != schema_) return;
  known_.reserve(all.size() / 2048);
  while (!from.empty()) {
    const auto hash = from.number<std::uint64_t>();
    const auto body = from.text();
    if (xxh64(body.data(), body.size()) != hash) return;
    store::Bytes fields(body);
    const auto file = fields.text();
    Entry entry;
    entry.version = fields.number<FileVersion>();
    entry.header = fields.text();
    constexpr std::size_t kFrame = sizeof hash + sizeof(std::size_t);
    entry.bytes = {body.data() - kFrame, body.size() + kFrame};
    known_.emplace(file, entry);
  }
}

bool StoreIndex::knows(const std::string& file, const FileVersion& version) const {
  const auto found = known_.find(file);
  return found != known_.end() && found->second.version == version;
}

void StoreIndex::begin(std::size_t known, const std::vector<Found>& fresh) {
  const bool news = known != known_.size() ||
                    std::any_of(fresh.begin(), fresh.end(), [](const Found& f) { return f.state.empty(); });
  if (path_.empty() || !news) return;
  temporary_ = temporary_name(path_);
  next_ = std::fopen(temporary_.c_str(), "wbe");
  if (!next_) return give_up();
  store::Writer head;
  head.raw(kMagic);
  head.text(schema_);
  write(head.bytes());
}

Found StoreIndex::take(const std::string& file) {
  const Entry& entry = known_.at(file);
  if (next_) write(entry.bytes);
  Found found;
  found.file = file;
  store::Bytes from(entry.header);
  found.header = store::unpack_header(from);
  return found;
}

void StoreIndex::add(const Found& found, const FileVersion& version) {
  if (!next_ || !found.state.empty()) return;
  store::Writer header, body;
  store::pack(header, found.header);
  body.text(found.file);
  body.number(version);
  body.text(header.bytes());
  write(entry_of(body.bytes()));
}

void StoreIndex::write(std::string_view bytes) {
  if (next_ && std::fwrite(bytes.data(), 1, bytes.size(), next_) != bytes.size()) give_up();
}

// Without fsync: what a crash leaves of it does not match its hashes.
void StoreIndex::publish() {
  if (!next_) return;
  if (std::fclose(std::exchange(next_, nullptr)) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0)
    return give_up();
  temporary_.clear();
}

void StoreIndex::give_up() {
  log::warn("{}: cannot write: {}; the next reduce reads every store again", path_.string(),
            std::strerror(errno));
  discard();
}

void StoreIndex::discard() {
  if (next_) std::fclose(std::exchange(next_, nullptr));
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

}  // namespace expunge::board
