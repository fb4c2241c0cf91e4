#include "cli/bench_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "board/merge.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "store/store_file.hpp"

namespace expunge::cli {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// As large as a real cell's: thirty columns, ten classes, two kilobytes of settings.
store::Record sample(std::int64_t i) {
  store::Record r;
  r.id = sha256_hex(fmt::format("cell {}", i)).substr(0, 16);
  r.key = fmt::format("dataset=bench/model=net/method=m/ratio=0.1/seed={}", i);
  r.dataset = "bench", r.model = "net", r.method = "m", r.sweep = "bench";
  r.ratio = 0.1;
  r.seed = i;
  for (int c = 0; c < 30; ++c) {
    r.row_names.push_back(fmt::format("column_{}", c));
    r.row.push_back(std::sin(static_cast<double>(i * 31 + c)));
  }
  for (const char* split : {"forget", "retain", "test"})
    r.splits[split] = {1000, 900, 10, 12.5, std::vector<std::int64_t>(100, i % 7)};
  r.parameter_hash = xxh128_hex(r.id.data(), r.id.size());
  for (int k = 0; k < 40; ++k)
    r.config["settings"][fmt::format("some_setting_{}", k)] = fmt::format("value {} of {}", k, i % 100);
  r.history_columns = {"epoch", "loss"};
  r.history = {0, 1.5, 1, 0.5};
  r.segments = {{1, 0, 100, host_name(), utc_now()}};
  r.timing = {{"wall", 2}, {"unlearn", 1}, {"eval", 0.5}, {"load", 0.1}, {"comm", 0}, {"checkpoint", 0}};
  r.flops = {{"forward", 1e12}, {"backward", 2e12}};
  return r;
}

fs::path store_path(const fs::path& folder, const store::Record& r) {
  return folder / "cells" / r.id.substr(0, 2) / (r.id + ".h5");
}

void write_plan(const fs::path& folder, std::int64_t count) {
  auto cells = nlohmann::json::array();
  const auto names = sample(0).row_names;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto r = sample(i);
    cells.push_back({{"id", r.id},
                     {"key", r.key},
                     {"dataset", r.dataset},
                     {"model", r.model},
                     {"method", r.method},
                     {"ratio", r.ratio},
                     {"seed", r.seed}});
  }
  write_file_atomic(folder / "plan.json", nlohmann::json{{"schema", 1},
                                                         {"name", "bench"},
                                                         {"sha256", std::string(64, '0')},
                                                         {"row_names", names},
                                                         {"cells", cells}}
                                              .dump());
}

// By one process a core, as tasks of a sweep do.
void write_stores(const fs::path& folder, std::int64_t count) {
  const auto processes = static_cast<std::int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  for (int k = 0; k < 256; ++k) make_folder(folder / "cells" / fmt::format("{:02x}", k));
  std::vector<pid_t> children;
  for (std::int64_t p = 0; p < processes; ++p) {
    const pid_t child = ::fork();
    if (child != 0) {
      children.push_back(child);
      continue;
    }
    int code = 0;
    try {
      for (std::int64_t i = p; i < count; i += processes) {
        const auto r = sample(i);
        store::write_record(store_path(folder, r), r);
      }
    } catch (const Error& error) {
      fmt::print(stderr, "{}\n", error.what());
      code = error.exit_code();
    }
    ::_exit(code);
  }
  for (const auto child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
      throw DataError::cannot_write(fmt::format("{}: the stores could not be written", folder.string()));
  }
}

// Their contents leave the page cache; what the file system keeps about names stays.
void forget_contents(const fs::path& folder) {
  ::sync();
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
}

double reduce(const fs::path& folder, const fs::path& index) {
  const auto start = Clock::now();
  const auto merged = board::merge(folder, 0, index);
  board::write_board(folder / "board.h5", merged.board);
  EXPUNGE_CHECK(merged.again.empty(), "{} stores were not merged", merged.again.size());
  return since(start);
}

}  // namespace

int bench_store(const fs::path& below, std::int64_t count, bool keep) {
  make_folder(below);
  const fs::path folder = below / fmt::format("bench-store.{}.{}", host_name(), ::getpid());
  make_folder(folder);
  try {
    auto start = Clock::now();
    write_plan(folder, count);
    start = Clock::now();
    write_stores(folder, count);
    const double written = since(start);
    fmt::print("published {} stores in {:.1f} s: {:.2f} ms each\n", count, written,
               written * 1e3 / static_cast<double>(count));
    std::fflush(stdout);
    if (keep) {
      fmt::print("{}\n", folder.string());
      return kExitOk;
    }
    forget_contents(folder / "cells");
    fmt::print("reduce, contents not in memory  {:.2f} s\n", reduce(folder, {}));
    fmt::print("reduce, contents in memory      {:.2f} s\n", reduce(folder, {}));
    const double first = reduce(folder, board::index_path(folder));
    fmt::print("reduce, making its index        {:.2f} s\n", first);
    fmt::print("reduce, by its index            {:.2f} s\n", reduce(folder, board::index_path(folder)));
  } catch (...) {
    fs::remove_all(folder);
    throw;
  }
  fs::remove_all(folder);
  return kExitOk;
}

}  // namespace expunge::cli
