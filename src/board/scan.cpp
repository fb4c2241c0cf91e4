#include "board/scan.hpp"

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/error.hpp"
#include "core/files.hpp"

namespace expunge::board {
namespace {

constexpr std::size_t kFilesWorthAProcess = 200;

std::vector<std::string> files_below(const fs::path& folder, std::vector<std::string>& unfinished) {
  std::vector<std::string> out;
  std::error_code error;
  if (!fs::exists(folder, error)) return out;
  try {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      const std::string name = entry.path().filename().string();
      if (name.find(".tmp.") != std::string::npos)
        unfinished.push_back(entry.path().lexically_relative(folder).string());
      else if (entry.path().extension() == ".h5" && !entry.is_directory())
        out.push_back(entry.path().lexically_relative(folder).string());
    }
  } catch (const fs::filesystem_error& failure) {
    throw DataError::missing(fmt::format("{}: cannot list: {}", folder.string(), failure.code().message()));
  }
  std::sort(out.begin(), out.end());
  std::sort(unfinished.begin(), unfinished.end());
  return out;
}

// Brings the row into the order of the wanted columns; false when one is missing.
bool reorder(const fs::path& path, store::RowHeader& header, const std::vector<std::string>& wanted,
             std::string& lacking) {
  const auto names = store::read_row_names(path);
  std::vector<double> row;
  for (const auto& name : wanted) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) {
      lacking = name;
      return false;
    }
    row.push_back(header.row.at(static_cast<std::size_t>(at - names.begin())));
  }
  header.row = std::move(row);
  return true;
}

Found read_one(const fs::path& folder, const std::string& file, const std::vector<std::string>& row_names,
               const std::string& schema) {
  Found out;
  out.file = file;
  try {
    out.header = store::read_row(folder / file);
    std::string lacking;
    if (out.header.row_schema_sha256 != schema && !reorder(folder / file, out.header, row_names, lacking)) {
      out.state = "foreign";
      out.reason = fmt::format("made without the column {}; run the cell again with --fresh", lacking);
    }
  } catch (const Error& error) {
    out.state = "corrupt";
    out.reason = error.what();
    // Messages begin with the full path; the relative one stands beside them.
    const std::string prefix = (folder / file).string() + ": ";
    if (out.reason.rfind(prefix, 0) == 0) out.reason.erase(0, prefix.size());
  }
  return out;
}

std::vector<Found> read_slice(const fs::path& folder, const std::vector<std::string>& files,
                              std::size_t begin, std::size_t end, const std::vector<std::string>& row_names) {
  const std::string schema = store::row_schema_sha256(row_names);
  std::vector<Found> out;
  for (std::size_t i = begin; i < end; ++i) out.push_back(read_one(folder, files[i], row_names, schema));
  return out;
}

// Results cross the process border as bytes: numbers as they lie in memory, texts and lists with their length
// in front.
class Writer {
 public:
  template <class T>
  void number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(const std::string& value) {
    number(value.size());
    bytes_ += value;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : bytes_(bytes) {}
  template <class T>
  T number() {
    T value;
    EXPUNGE_CHECK(bytes_.size() >= sizeof value, "a reading process sent too little");
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return value;
  }
  std::string text() {
    const auto size = number<std::size_t>();
    EXPUNGE_CHECK(bytes_.size() >= size, "a reading process sent too little");
    std::string out(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return out;
  }

 private:
  std::string_view bytes_;
};

std::vector<std::string*> texts_of(Found& f) {
  auto& h = f.header;
  return {&f.file,
          &f.state,
          &f.reason,
          &h.kind,
          &h.id,
          &h.key,
          &h.dataset,
          &h.model,
          &h.method,
          &h.sweep,
          &h.status,
          &h.status_text,
          &h.science_sha256,
          &h.parameter_hash,
          &h.config_sha256,
          &h.row_schema_sha256,
          &h.git_hash,
          &h.host,
          &h.config_json};
}

void pack(Writer& to, Found& f) {
  for (auto* text : texts_of(f)) to.text(*text);
  to.number(f.header.ratio);
  to.number(f.header.seed);
  to.number(f.header.restart_count);
  to.number(f.header.row.size());
  for (double v : f.header.row) to.number(v);
  to.number(f.header.timing.size());
  for (const auto& [name, seconds] : f.header.timing) {
    to.text(name);
    to.number(seconds);
  }
}

Found unpack(Bytes& from) {
  Found f;
  for (auto* text : texts_of(f)) *text = from.text();
  f.header.ratio = from.number<double>();
  f.header.seed = from.number<std::int64_t>();
  f.header.restart_count = from.number<std::int64_t>();
  f.header.row.resize(from.number<std::size_t>());
  for (double& v : f.header.row) v = from.number<double>();
  for (auto n = from.number<std::size_t>(); n > 0; --n) {
    const std::string name = from.text();
    f.header.timing[name] = from.number<double>();
  }
  return f;
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

// A process that reads its slice into an anonymous file.
struct Reader {
  pid_t pid = -1;
  int fd = -1;
};

Reader start(const fs::path& folder, const std::vector<std::string>& files, std::size_t begin,
             std::size_t end, const std::vector<std::string>& row_names) {
  Reader reader;
  reader.fd = ::memfd_create("expunge-scan", MFD_CLOEXEC);
  if (reader.fd < 0) return reader;
  reader.pid = ::fork();
  if (reader.pid != 0) return reader;
  // The child: no destructors, no exit handlers, nothing of the parent's is flushed twice.
  int code = 1;
  try {
    Writer out;
    for (auto& found : read_slice(folder, files, begin, end, row_names)) pack(out, found);
    code = write_all(reader.fd, out.bytes()) ? 0 : 1;
  } catch (...) {
  }
  ::_exit(code);
}

// The results of a reader; false when it failed.
bool finish(const Reader& reader, std::size_t expected, std::vector<Found>& out) {
  int status = 0;
  pid_t done = -1;
  if (reader.pid > 0) {
    do {
      done = ::waitpid(reader.pid, &status, 0);
    } while (done < 0 && errno == EINTR);
  }
  bool good = done == reader.pid && done > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (good) {
    const std::string bytes = read_file(fmt::format("/proc/self/fd/{}", reader.fd));
    Bytes from(bytes);
    for (std::size_t i = 0; i < expected; ++i) out.push_back(unpack(from));
  }
  if (reader.fd >= 0) ::close(reader.fd);
  return good;
}

int cores_at_hand() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

}  // namespace

Scan scan_stores(const fs::path& folder, const std::vector<std::string>& row_names, int processes) {
  Scan scan;
  const auto files = files_below(folder, scan.unfinished);
  auto slices = static_cast<std::size_t>(processes > 0 ? processes : cores_at_hand());
  if (processes <= 0) slices = std::min(slices, 1 + files.size() / kFilesWorthAProcess);
  slices = std::max<std::size_t>(1, std::min(slices, files.size()));
  const auto edge = [&](std::size_t k) { return files.size() * k / slices; };
  std::vector<Reader> readers;
  for (std::size_t k = 1; k < slices; ++k)
    readers.push_back(start(folder, files, edge(k), edge(k + 1), row_names));
  scan.found = read_slice(folder, files, 0, edge(1), row_names);
  for (std::size_t k = 1; k < slices; ++k) {
    if (finish(readers[k - 1], edge(k + 1) - edge(k), scan.found)) continue;
    // It could not be started or was killed: its part is read here.
    auto rest = read_slice(folder, files, edge(k), edge(k + 1), row_names);
    std::move(rest.begin(), rest.end(), std::back_inserter(scan.found));
  }
  return scan;
}

}  // namespace expunge::board
