#include "cli/bench_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>

#include "board/merge.hpp"
#include "board/render.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"

namespace expunge::cli {
namespace {

// Prints seconds and peak memory of a process that does this alone, and what it has to say.
void measured(const std::string& what, const std::function<std::string()>& work) {
  std::fflush(stdout);
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 0;
    std::string said;
    try {
      said = work();
    } catch (const Error& error) {
      fmt::print(stderr, "{}: {}\n", what, error.what());
      code = error.exit_code();
    }
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (code == 0)
      fmt::print("{:<34} {:>8.2f} s  {:>9}{}{}\n", what, seconds,
                 human_bytes(static_cast<double>(usage.ru_maxrss) * 1024), said.empty() ? "" : "  ", said);
    std::fflush(stdout);
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw Error(WIFEXITED(status) ? WEXITSTATUS(status) : kExitInternal, what + ": did not end well");
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

std::string reduce(const fs::path& folder, const fs::path& index) {
  const auto merged = board::merge(folder, 0, index);
  board::write_board(folder / "board.h5", merged.board);
  EXPUNGE_CHECK(merged.again.empty(), "{} stores were not merged", merged.again.size());
  return "";
}

using Render = std::string (*)(const board::Leaderboard&, const board::Rankings&);

std::string render(const fs::path& folder, Render as) {
  const auto board = board::read_board(folder / "board.h5");
  const auto leaderboard = board::make_leaderboard(board);
  return human_bytes(static_cast<double>(as(leaderboard, board::make_rankings(leaderboard)).size()));
}

void measure(const fs::path& folder) {
  forget_contents(folder / "cells");
  measured("reduce, contents not in memory", [&] { return reduce(folder, {}); });
  measured("reduce, contents in memory", [&] { return reduce(folder, {}); });
  const auto index = board::index_path(folder);
  measured("reduce, making its index", [&] { return reduce(folder, index); });
  measured("reduce, by its index", [&] { return reduce(folder, index); });
  measured("board, text", [&] { return render(folder, board::render_text); });
  measured("board, CSV", [&] { return render(folder, board::render_csv); });
  measured("board, page", [&] { return render(folder, board::render_html); });
}

}  // namespace

int bench_store(SampleSweep sweep, bool keep) {
  make_folder(sweep.folder);
  sweep.folder /= fmt::format("bench-store.{}.{}", host_name(), ::getpid());
  try {
    measured("publish stores", [&] { return fmt::format("{} cells", write_sample_sweep(sweep)); });
    if (keep) {
      fmt::print("{}\n", sweep.folder.string());
      return kExitOk;
    }
    measure(sweep.folder);
  } catch (...) {
    fs::remove_all(sweep.folder);
    throw;
  }
  fs::remove_all(sweep.folder);
  return kExitOk;
}

}  // namespace expunge::cli
