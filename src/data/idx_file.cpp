#include "data/idx_file.hpp"

#include <zlib.h>

#include <cerrno>
#include <cstring>

#include "core/error.hpp"
#include "core/files.hpp"

namespace expunge::data {
namespace {

constexpr std::int64_t kMostValues = std::int64_t{1} << 36;

// zlib reads plain files too.
class Stream {
 public:
  explicit Stream(const fs::path& path) : path_(path.string()), file_(gzopen(path.c_str(), "rbe")) {
    if (!file_) throw DataError::missing(fmt::format("{}: cannot open: {}", path_, std::strerror(errno)));
    gzbuffer(file_, 1 << 17);
  }
  ~Stream() { gzclose_r(file_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  std::size_t read(void* to, std::size_t bytes) {
    auto* at = static_cast<char*>(to);
    std::size_t done = 0;
    while (done < bytes) {
      const auto piece = static_cast<unsigned>(std::min<std::size_t>(bytes - done, 1u << 30));
      const int got = gzread(file_, at + done, piece);
      int code = Z_OK;
      const char* text = gzerror(file_, &code);
      if (got < 0 || (code != Z_OK && code != Z_STREAM_END))
        throw DataError::corrupt(fmt::format("{}: damaged gzip stream: {}", path_, text));
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  gzFile file_;
};

std::vector<std::int64_t> read_shape(Stream& in, int dimensions) {
  std::uint8_t magic[4];
  const auto got = in.read(magic, sizeof magic);
  if (got == 0) throw DataError::corrupt(fmt::format("{}: empty file", in.path()));
  if (got < sizeof magic || magic[0] != 0 || magic[1] != 0 || magic[2] != 0x08 || magic[3] != dimensions)
    throw DataError::corrupt(
        fmt::format("{}: not an IDX file of unsigned bytes with {} dimensions (expected magic 0000080{})",
                    in.path(), dimensions, dimensions));
  std::vector<std::int64_t> shape;
  std::int64_t values = 1;
  for (int d = 0; d < dimensions; ++d) {
    std::uint8_t b[4];
    if (in.read(b, sizeof b) < sizeof b)
      throw DataError::corrupt(fmt::format("{}: truncated header", in.path()));
    shape.push_back((std::int64_t{b[0]} << 24) | (b[1] << 16) | (b[2] << 8) | b[3]);
    if (shape.back() == 0 || shape.back() > kMostValues / values)
      throw DataError::corrupt(
          fmt::format("{}: impossible size {} of dimension {}", in.path(), shape.back(), d));
    values *= shape.back();
  }
  return shape;
}

}  // namespace

std::vector<std::int64_t> read_idx_shape(const fs::path& file, int dimensions) {
  Stream in(file);
  return read_shape(in, dimensions);
}

IdxFile read_idx(const fs::path& file, int dimensions) {
  Stream in(file);
  IdxFile out;
  out.shape = read_shape(in, dimensions);
  std::size_t expected = 1;
  for (const auto d : out.shape) expected *= static_cast<std::size_t>(d);
  // Grown while reading: a wrong header must not allocate what the file does not hold.
  constexpr std::size_t kPiece = std::size_t{1} << 24;
  while (out.values.size() < expected) {
    const std::size_t begin = out.values.size(), piece = std::min(kPiece, expected - begin);
    out.values.resize(begin + piece);
    const std::size_t got = in.read(out.values.data() + begin, piece);
    if (got < piece)
      throw DataError::corrupt(
          fmt::format("{}: truncated: {} values instead of {}", in.path(), begin + got, expected));
  }
  std::uint8_t extra;  // reading to the end also checks gzip's own checksum
  if (in.read(&extra, 1) != 0)
    throw DataError::corrupt(fmt::format("{}: longer than its header says ({} values)", in.path(), expected));
  return out;
}

}  // namespace expunge::data
