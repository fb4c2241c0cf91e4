#include "board/store_index.hpp"

#include <sys/mman.h>
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

constexpr std::string_view kMagic = "expunge index 3\n";
constexpr std::size_t kGiveBack = 16 << 20;  // bytes

std::int64_t nanoseconds(const timespec& t) {
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

// A frame's entry has no file name. Its hash is what stores' entries know it by.
std::string packed(const SettingsText::Frame& frame) {
  store::Writer out;
  out.text(frame.before);
  out.text(frame.between);
  out.text(frame.after);
  out.number(frame.has_original);
  out.number(frame.has_seed);
  return out.bytes();
}

SettingsText::Frame unpacked(std::string_view content) {
  store::Bytes from(content);
  SettingsText::Frame out;
  out.before = from.text();
  out.between = from.text();
  out.after = from.text();
  out.has_original = from.number<bool>();
  out.has_seed = from.number<bool>();
  return out;
}

std::string head_of(const std::string& row_schema_sha256) {
  store::Writer out;
  out.raw(kMagic);
  out.text(row_schema_sha256);
  return out.bytes();
}

std::uint64_t hash_of(std::string_view bytes) { return xxh64(bytes.data(), bytes.size()); }

}  // namespace

FileVersion FileVersion::of(const struct stat& info) {
  return {static_cast<std::uint64_t>(info.st_size), nanoseconds(info.st_mtim), nanoseconds(info.st_ctim)};
}

IndexEntries::IndexEntries(const fs::path& path, const std::string& head, SettingsPool& pool)
    : pool_(&pool), begin_(head.size()), at_(begin_) {
  std::error_code ignored;
  if (path.empty() || !fs::exists(path, ignored)) return;
  try {
    mapped_ = std::make_shared<const MappedFile>(path);
    if (!mapped_->view().starts_with(head)) mapped_.reset();
  } catch (const Error&) {  // unreadable: everything is read from the stores
  }
}

IndexEntries IndexEntries::from_the_start() const {
  IndexEntries out = *this;
  out.at_ = begin_;
  out.given_back_ = 0;
  out.frames_.clear();
  out.file_.clear();
  return out;
}

bool IndexEntries::next() {
  const std::string before = file_;
  try {
    do {
      if (!mapped_ || at_ >= mapped_->size() || !read_entry()) mapped_.reset();
    } while (mapped_ && file_.empty());
  } catch (const InternalError&) {  // cut within an entry
    mapped_.reset();
  }
  if (mapped_ && file_ <= before) mapped_.reset();  // out of order
  return mapped_ != nullptr;
}

// A store's entry, or, with an empty name, that of what its successors share. False when it is damaged.
bool IndexEntries::read_entry() {
  give_back();
  store::Bytes from(mapped_->view().substr(at_));
  const auto hash = from.number<std::uint64_t>();
  const auto body = from.text();
  if (hash_of(body) != hash) return false;
  at_ += sizeof hash + sizeof(std::size_t) + body.size();
  store::Bytes fields(body);
  file_ = fields.text();
  if (!file_.empty()) version_ = fields.number<FileVersion>();
  content_ = fields.text();
  if (file_.empty()) frames_[hash_of(content_)] = pool_->add(unpacked(content_));
  return true;
}

void IndexEntries::give_back() {
  if (at_ - given_back_ < 2 * kGiveBack) return;
  // The views of the last entry are behind this.
  const std::size_t to = (at_ - kGiveBack) & ~(kGiveBack - 1);
  ::madvise(const_cast<std::uint8_t*>(mapped_->data()) + given_back_, to - given_back_, MADV_DONTNEED);
  given_back_ = to;
}

Found IndexEntries::found() const {
  Found out;
  out.file = file_;
  store::Bytes from(content_);
  out.header = store::unpack_header(from);
  const auto frame = from.number<std::uint64_t>();
  const auto original = from.number<std::uint64_t>();
  const auto seed = from.number<std::int64_t>();
  if (frame != 0) out.settings = {frames_.at(frame), original, seed};
  return out;
}

StoreIndex::StoreIndex(fs::path path, const std::string& row_schema_sha256, SettingsPool& pool)
    : path_(std::move(path)),
      head_(head_of(row_schema_sha256)),
      old_(path_, head_, pool),
      taken_(old_.from_the_start()) {}

StoreIndex::~StoreIndex() { discard(); }

void StoreIndex::mark_known(std::span<StoreFile> files) {
  files_ = files;
  IndexEntries entries = old_.from_the_start();
  auto file = files.begin();
  std::size_t entry_count = 0, known = 0;
  while (entries.next()) {
    ++entry_count;
    while (file != files.end() && file->name < entries.file()) ++file;
    if (file == files.end() || file->name != entries.file()) continue;
    file->known = file->problem.empty() && file->version == entries.version();
    known += file->known;
  }
  if (known != entry_count) start(files.data());
}

Found StoreIndex::take(const StoreFile& file) {
  do {
    EXPUNGE_CHECK(taken_.next(), "{}: the index has lost {}", path_.string(), file.name);
  } while (taken_.file() != file.name);
  Found found = taken_.found();
  write(found, file.version);
  return found;
}

void StoreIndex::add(const Found& found, const StoreFile& file) {
  if (!found.state.empty()) return;
  if (!next_) start(&file);
  write(found, file.version);
}

void StoreIndex::start(const StoreFile* upto) {
  if (path_.empty() || failed_) return;
  temporary_ = temporary_name(path_);
  next_ = std::fopen(temporary_.c_str(), "wbe");
  if (!next_) return give_up();
  if (std::fwrite(head_.data(), 1, head_.size(), next_) != head_.size()) return give_up();
  IndexEntries again = old_.from_the_start();
  for (const StoreFile* file = files_.data(); file != upto; ++file) {
    if (!file->known) continue;
    while (again.next() && again.file() != file->name) {
    }
    write(again.found(), file->version);
  }
}

void StoreIndex::write(const Found& found, const FileVersion& version) {
  if (!next_) return;
  std::uint64_t frame = 0;
  if (const auto& shared = found.settings.frame()) {
    const std::string content = packed(*shared);
    frame = hash_of(content);
    const auto [at, added] = written_.try_emplace(frame, shared);
    if (added) {
      store::Writer body;
      body.text("");
      body.text(content);
      write_entry(body.bytes());
    } else if (at->second != shared) {
      return;  // two frames of one hash: this store is read again next time
    }
  }
  store::Writer content, body;
  store::pack(content, found.header);
  content.number(frame);
  content.number(found.settings.original());
  content.number(found.settings.seed());
  body.text(found.file);
  body.number(version);
  body.text(content.bytes());
  write_entry(body.bytes());
}

// Its hash, then its text with the length in front.
void StoreIndex::write_entry(const std::string& body) {
  if (!next_) return;
  store::Writer out;
  out.number(hash_of(body));
  out.text(body);
  const std::string& bytes = out.bytes();
  if (std::fwrite(bytes.data(), 1, bytes.size(), next_) != bytes.size()) give_up();
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
  failed_ = true;
  discard();
}

void StoreIndex::discard() {
  if (next_) std::fclose(std::exchange(next_, nullptr));
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
}

}  // namespace expunge::board
