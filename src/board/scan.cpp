#include "board/scan.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <numeric>
#include <system_error>
#include <thread>
#include <utility>

#include "board/store_index.hpp"
#include "core/error.hpp"
#include "core/files.hpp"

namespace expunge::board {
namespace {

constexpr std::size_t kFilesWorthAReader = 50;
constexpr unsigned kReadersPerCore = 4;
constexpr std::size_t kInMemory = 1 << 14;  // stores, of four kilobytes or so each

struct Listing {
  std::vector<StoreFile> files;  // by name
  std::vector<std::string> unfinished;
};

// `prefix`: the folder relative to `root`, with its slash.
void list_below(const fs::path& root, const std::string& prefix, Listing& out) {
  std::error_code error;
  fs::directory_iterator entries(root / prefix, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    std::error_code unknown;
    const bool folder = entries->is_directory(unknown), store = name.ends_with(".h5");
    if (name.find(".tmp.") != std::string::npos)
      out.unfinished.push_back(prefix + name);
    else if (folder && !store)
      list_below(root, prefix + name + "/", out);
    else if (store)
      out.files.push_back({prefix + name, folder ? "not a file" : "", {}, 0, false});
  }
  if (error) out.files.push_back({prefix, "cannot list the folder: " + error.message(), {}, 0, false});
}

Listing list_files(const fs::path& folder) {
  Listing out;
  std::error_code ignored;
  if (!fs::exists(folder, ignored)) return out;
  list_below(folder, "", out);
  std::sort(out.files.begin(), out.files.end(),
            [](const StoreFile& a, const StoreFile& b) { return a.name < b.name; });
  std::sort(out.unfinished.begin(), out.unfinished.end());
  const std::string root = folder.string() + "/";
  for (auto& file : out.files) {
    struct stat info {};
    if (::stat((root + file.name).c_str(), &info) != 0) continue;
    file.version = FileVersion::of(info);
    file.inode = info.st_ino;
  }
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

Found read_one(const fs::path& folder, const StoreFile& file, const std::vector<std::string>& row_names,
               const std::string& schema) {
  Found out;
  out.file = file.name;
  if (!file.problem.empty()) {
    out.state = "corrupt";
    out.reason = file.problem;
    return out;
  }
  try {
    out.header = store::read_row(folder / file.name);
    std::string lacking;
    if (out.header.row_schema_sha256 != schema &&
        !reorder(folder / file.name, out.header, row_names, lacking)) {
      out.state = "foreign";
      out.reason = fmt::format("made without the column {}; run the cell again with --fresh", lacking);
    }
  } catch (const Error& error) {
    out.state = "corrupt";
    out.reason = error.what();
    // Messages begin with the full path; the relative one stands beside them.
    const std::string prefix = (folder / file.name).string() + ": ";
    if (out.reason.rfind(prefix, 0) == 0) out.reason.erase(0, prefix.size());
  }
  return out;
}

std::size_t readers_for(std::size_t files, int asked) {
  if (asked > 0) return std::min(static_cast<std::size_t>(asked), std::max<std::size_t>(1, files));
  const std::size_t most = kReadersPerCore * std::max(1u, std::thread::hardware_concurrency());
  return std::min(most, 1 + files / kFilesWorthAReader);
}

// Reads these files with so many readers. They are taken in the order of their inodes, which is near to that
// on the disk.
std::vector<Found> read_files(const fs::path& folder, const std::vector<const StoreFile*>& files,
                              const std::vector<std::string>& row_names, const std::string& schema,
                              std::size_t readers) {
  std::vector<std::size_t> order(files.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return files[a]->inode < files[b]->inode; });
  std::vector<Found> found(files.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < order.size(); i = next++)
      found[order[i]] = read_one(folder, *files[order[i]], row_names, schema);
  };
  std::vector<std::future<void>> others;
  try {
    for (std::size_t k = 1; k < std::min(readers, files.size()); ++k)
      others.push_back(std::async(std::launch::async, work));
  } catch (const std::system_error&) {  // no more threads to be had: those that are there do it
  }
  work();
  for (auto& other : others) other.get();
  return found;
}

}  // namespace

std::vector<std::string> scan_stores(const fs::path& folder, const std::vector<std::string>& row_names,
                                     int readers, const fs::path& index_path,
                                     const std::function<void(Found&&)>& fold) {
  Listing listing = list_files(folder);
  auto& files = listing.files;
  const std::string schema = store::row_schema_sha256(row_names);
  SettingsPool pool;
  StoreIndex index(index_path, schema, pool);
  index.mark_known(files);
  const auto unknown = std::count_if(files.begin(), files.end(), [](const StoreFile& f) { return !f.known; });
  const std::size_t at_once = readers_for(static_cast<std::size_t>(unknown), readers);
  for (std::size_t begin = 0; begin < files.size(); begin += kInMemory) {
    const std::size_t end = std::min(files.size(), begin + kInMemory);
    std::vector<const StoreFile*> to_read;
    for (std::size_t i = begin; i < end; ++i)
      if (!files[i].known) to_read.push_back(&files[i]);
    auto fresh = read_files(folder, to_read, row_names, schema, at_once);
    auto next = fresh.begin();
    for (std::size_t i = begin; i < end; ++i) {
      if (files[i].known) {
        fold(index.take(files[i]));
        continue;
      }
      next->settings = pool.add(std::exchange(next->header.config_json, {}));
      index.add(*next, files[i]);
      fold(std::move(*next++));
    }
  }
  index.publish();
  return std::move(listing.unfinished);
}

}  // namespace expunge::board
