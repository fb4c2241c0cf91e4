#include "data/packed_cache.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <span>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "data/corruption.hpp"
#include "data/text_samples.hpp"

namespace expunge::data {
namespace {

static_assert(std::endian::native == std::endian::little, "cache files are little endian");

constexpr char kMagic[8] = {'E', 'X', 'P', 'A', 'C', 'K', '\0', '\1'};
constexpr std::size_t kBorder = 64;
constexpr std::size_t kAlwaysVerified = std::size_t{1}
                                        << 30;  // above 1 GiB only the header is checked on opening

struct Header {
  char magic[8];
  std::uint64_t json_bytes, json_hash, file_bytes;
  std::uint64_t zeros[4];
};
static_assert(sizeof(Header) == kBorder);

std::size_t aligned(std::size_t at) { return (at + kBorder - 1) / kBorder * kBorder; }

using Section = std::span<const std::uint8_t>;

// Train labels, train pixels, test labels, test pixels.
using Sections = std::array<Section, 4>;

template <class T>
Section bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(T)};
}

class PackedDataset : public Dataset {
 public:
  // `owner` keeps the sections alive: a mapped file, or the decoded samples themselves.
  PackedDataset(Info info, const Sections& sections, std::string checksum, std::shared_ptr<const void> owner)
      : info_(std::move(info)),
        sections_(sections),
        checksum_(std::move(checksum)),
        owner_(std::move(owner)) {}

  const Info& info() const override { return info_; }
  std::int64_t size(Side side) const override {
    return side == Side::kTrain ? info_.train_size : info_.test_size;
  }
  const std::uint8_t* pixels(Side side, std::int64_t id) const override {
    return sections_[side == Side::kTrain ? 1 : 3].data() + id * sample_bytes(info_);
  }
  std::int64_t label(Side side, std::int64_t id) const override {
    return reinterpret_cast<const std::int64_t*>(sections_[side == Side::kTrain ? 0 : 2].data())[id];
  }
  const std::string& checksum() const override { return checksum_; }

 private:
  Info info_;
  Sections sections_;
  std::string checksum_;
  std::shared_ptr<const void> owner_;
};

// Both sides as a reader delivered them.
struct Decoded {
  Info info;
  Raw train, test;
  Sections sections() const {
    return {bytes_of(train.labels), bytes_of(train.pixels), bytes_of(test.labels), bytes_of(test.pixels)};
  }
};

std::shared_ptr<Decoded> decode(const Source& source) {
  auto out = std::make_shared<Decoded>();
  out->info = source.info;
  out->train = source.reader->read(source.root, Side::kTrain, out->info);
  out->test = source.reader->read(source.root, Side::kTest, out->info);
  Info& info = out->info;
  if (!info.corruption.empty())
    corrupt(info.corruption, static_cast<std::int64_t>(out->test.labels.size()), info.channels, info.height,
            info.width, out->test.pixels.data());
  info.train_size = static_cast<std::int64_t>(out->train.labels.size());
  info.test_size = static_cast<std::int64_t>(out->test.labels.size());
  for (const Raw* side : {&out->train, &out->test}) {
    const auto expected = side->labels.size() * static_cast<std::size_t>(sample_bytes(info));
    EXPUNGE_CHECK(side->pixels.size() == expected, "reader {} delivered {} bytes of pixels, not {}",
                  info.name, side->pixels.size(), expected);
  }
  return out;
}

std::vector<std::string> hashes_of(const Sections& sections) {
  std::vector<std::string> out;
  for (const auto& section : sections) out.push_back(xxh128_hex(section.data(), section.size()));
  return out;
}

// Independent of the file format: shape, counts and the hashes of the four sections.
std::string checksum_of(const Info& info, const std::vector<std::string>& hashes) {
  const std::string text = fmt::format("{}x{}x{} train {} test {} {}", info.channels, info.height, info.width,
                                       info.train_size, info.test_size, join(hashes, " "));
  return xxh128_hex(text.data(), text.size());
}

std::shared_ptr<const Dataset> in_memory(const std::shared_ptr<Decoded>& decoded) {
  const Sections sections = decoded->sections();
  return std::make_shared<PackedDataset>(decoded->info, sections,
                                         checksum_of(decoded->info, hashes_of(sections)), decoded);
}

class File {
 public:
  explicit File(const fs::path& path) : path_(path), file_(std::fopen(path.c_str(), "wbe")) {
    if (!file_) fail("create");
  }
  ~File() {
    if (file_) std::fclose(file_);
    if (!kept_) ::unlink(path_.c_str());
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  void write(const void* data, std::size_t bytes) {
    if (bytes > 0 && std::fwrite(data, 1, bytes, file_) != bytes) fail("write");
    at_ += bytes;
  }
  void align() {
    static constexpr char kZeros[kBorder] = {};
    write(kZeros, aligned(at_) - at_);
  }
  void close() {
    std::FILE* file = std::exchange(file_, nullptr);
    if (std::fclose(file) != 0) fail("write");
    kept_ = true;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw DataError::cannot_write(
        fmt::format("{}: cannot {}: {}", path_.string(), what, std::strerror(errno)));
  }
  fs::path path_;
  std::FILE* file_;
  std::size_t at_ = 0;
  bool kept_ = false;
};

void write_pack(const Decoded& decoded, const fs::path& path) {
  const Info& info = decoded.info;
  const Sections sections = decoded.sections();
  const std::string json =
      nlohmann::json{{"name", info.name},      {"classes", info.classes},      {"channels", info.channels},
                     {"height", info.height},  {"width", info.width},          {"train", info.train_size},
                     {"test", info.test_size}, {"hashes", hashes_of(sections)}}
          .dump();
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.json_bytes = json.size();
  header.json_hash = xxh64(json.data(), json.size());
  header.file_bytes = aligned(sizeof header + json.size());
  for (const auto& section : sections) header.file_bytes += aligned(section.size());

  const fs::path temporary = temporary_name(path);
  File file(temporary);
  file.write(&header, sizeof header);
  file.write(json.data(), json.size());
  file.align();
  for (const auto& section : sections) {
    file.write(section.data(), section.size());
    file.align();
  }
  file.close();
  publish_replace(temporary, path);
}

// Null, with the reason in `problem`, when the file is not a whole cache file of this format.
std::shared_ptr<const Dataset> map_pack(const Source& source, const fs::path& path, std::string& problem) {
  const auto file = std::make_shared<const MappedFile>(path);
  const auto broken = [&](const std::string& what) {
    problem = what;
    return nullptr;
  };
  if (file->size() < sizeof(Header)) return broken("shorter than its header");
  Header header;
  std::memcpy(&header, file->data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) return broken("no cache file of this version");
  if (header.file_bytes != file->size())
    return broken(fmt::format("{} bytes instead of {}", file->size(), header.file_bytes));
  if (header.json_bytes > file->size() - sizeof header) return broken("damaged header");
  const std::string_view json = file->view().substr(sizeof header, header.json_bytes);
  if (xxh64(json.data(), json.size()) != header.json_hash) return broken("damaged header");

  const auto meta = nlohmann::json::parse(json);
  Info info = source.info;
  info.classes = meta.at("classes");
  info.channels = meta.at("channels");
  info.height = meta.at("height");
  info.width = meta.at("width");
  info.train_size = meta.at("train");
  info.test_size = meta.at("test");
  const auto image = static_cast<std::size_t>(sample_bytes(info));
  const auto train = static_cast<std::size_t>(info.train_size),
             test = static_cast<std::size_t>(info.test_size);
  Sections sections;
  std::size_t at = aligned(sizeof header + header.json_bytes), i = 0;
  for (const std::size_t bytes : {train * 8, train * image, test * 8, test * image}) {
    sections[i++] = {file->data() + at, bytes};
    at += aligned(bytes);
  }
  if (at != file->size()) return broken("damaged header");
  const auto hashes = meta.at("hashes").get<std::vector<std::string>>();
  if (file->size() < kAlwaysVerified && hashes_of(sections) != hashes) return broken("checksums differ");
  const std::string checksum = checksum_of(info, hashes);
  return std::make_shared<PackedDataset>(std::move(info), sections, checksum, file);
}

// Holds cache_folder()/packed/lock while one process packs. File systems without locks let several pack the
// same: harmless.
class PackLock {
 public:
  explicit PackLock(const fs::path& folder) {
    const fs::path path = folder / "lock";
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0)
      throw DataError::cannot_write(fmt::format("{}: cannot open: {}", path.string(), std::strerror(errno)));
    while (::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~PackLock() { ::close(fd_); }
  PackLock(const PackLock&) = delete;
  PackLock& operator=(const PackLock&) = delete;

 private:
  int fd_ = -1;
};

std::shared_ptr<const Dataset> open_or_pack(const Source& source, const fs::path& path) {
  std::string problem;
  if (fs::exists(path))
    if (auto dataset = map_pack(source, path, problem)) return dataset;

  std::shared_ptr<Decoded> decoded;
  try {
    make_folder(path.parent_path());
    const PackLock lock(path.parent_path());
    if (fs::exists(path)) {
      if (auto dataset = map_pack(source, path, problem)) return dataset;
      log::warn("{}: {}; packing {} again", path.string(), problem, source.info.name);
    }
    log::info("packing {} from {}", source.info.name, source.root.string());
    decoded = decode(source);
    write_pack(*decoded, path);
  } catch (const DataError& error) {
    if (error.exit_code() != kExitCannotWrite) throw;
    log::warn("{}; keeping {} in memory (set EXPUNGE_CACHE to a writable folder)", error.what(),
              source.info.name);
    return in_memory(decoded ? decoded : decode(source));
  }
  decoded.reset();
  auto dataset = map_pack(source, path, problem);
  if (!dataset)
    throw DataError::corrupt(fmt::format("{}: {} right after it was written", path.string(), problem));
  return dataset;
}

}  // namespace

fs::path packed_file(const Source& source) {
  std::string key = fmt::format("{} channels={} {}\n", source.reader->info.name, source.info.channels,
                                fs::weakly_canonical(source.root).string());
  if (!source.info.corruption.empty()) key += "corruption=" + source.info.corruption + "\n";
  if (source.info.text_alone()) key += fmt::format("tokens={}\n", source.info.tokens);
  if (source.info.classified_text())
    key += fmt::format("tokenizer={} columns={} {} {}\n", tokenizer_key(source.info.tokenizer),
                       source.info.text_column, source.info.second_column, source.info.label_column);
  for (const auto& file : source.reader->sources(source.root)) {
    std::error_code error;  // a file that vanished is reported by the reader
    const auto bytes = fs::file_size(file, error);
    const auto time = fs::last_write_time(file, error);
    key += fmt::format("{} {} {}\n", file.lexically_relative(source.root).string(), bytes,
                       time.time_since_epoch().count());
  }
  return cache_folder() / "packed" /
         fmt::format("{}-{}.pack", source.info.name, sha256_hex(key).substr(0, 16));
}

std::shared_ptr<const Dataset> open_packed(const Source& source) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<const Dataset>> opened;  // one mapping and one check per process
  const fs::path path = packed_file(source);
  const std::string key = fmt::format("{} {} {}", path.string(), fmt::join(source.info.mean, " "),
                                      fmt::join(source.info.deviation, " "));
  const std::lock_guard guard(mutex);
  auto& slot = opened[key];
  if (auto dataset = slot.lock()) return dataset;
  auto dataset = open_or_pack(source, path);
  slot = dataset;
  return dataset;
}

}  // namespace expunge::data
