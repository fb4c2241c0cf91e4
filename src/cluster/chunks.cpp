#include "cluster/chunks.hpp"

#include <algorithm>
#include <set>

#include "cluster/packing.hpp"
#include "cluster/scheduler.hpp"
#include "core/counted.hpp"
#include "core/text.hpp"

namespace expunge::cluster {
namespace {

constexpr std::size_t kMostTasks = 1'000'000'000;  // where the site has no cap

using Tasks = std::vector<std::vector<std::string>>;  // ids of cells, a task each

void add_chunks(std::vector<Chunk>& chunks, const std::string& stage, const Tasks& tasks,
                std::int64_t array_size) {
  const auto most = static_cast<std::size_t>(array_size);
  for (std::size_t begin = 0, n = 0; begin < tasks.size(); begin += most, ++n) {
    const auto first = tasks.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto last = tasks.begin() + static_cast<std::ptrdiff_t>(std::min(tasks.size(), begin + most));
    chunks.push_back({fmt::format("{}.{}", stage, n), stage, {first, last}, ChunkState::kPlanned, "", ""});
  }
}

// A task an original, named by one of its cells.
Tasks tasks_of_originals(const sweep::Plan& plan, const Choice& choice) {
  Tasks out;
  for (const auto original : choice.originals) {
    const auto cell = std::find_if(choice.cells.begin(), choice.cells.end(),
                                   [&](auto c) { return plan.cells[c].original == original; });
    out.push_back({plan.cells[*cell].id});
  }
  return out;
}

// How many tasks of cells the site allows beside what is in the queue, the originals and the reducer.
std::size_t room_for_cells(const Site& site, std::size_t originals, std::size_t in_queue) {
  if (site.max_submitted <= 0) return kMostTasks;
  const auto taken = static_cast<std::int64_t>(in_queue + originals + 1);
  if (site.max_submitted <= taken)
    throw SchedulerError(
        fmt::format("the site allows {} array elements in the queue, {} are there: nothing was submitted; "
                    "try again when some of them have ended",
                    site.max_submitted, in_queue));
  return static_cast<std::size_t>(site.max_submitted - taken);
}

}  // namespace

Choice choose(const sweep::Plan& plan, const SweepState& state, bool again) {
  Choice out;
  std::set<std::size_t> needed;
  for (std::size_t i = 0; i < plan.cells.size(); ++i) {
    const State s = state.cells[i].state;
    const bool ended_badly = s == State::kFailed || s == State::kTimedOut || s == State::kCorrupt;
    if (s != State::kMissing && !(again && ended_badly)) continue;
    out.cells.push_back(i);
    const auto original = plan.cells[i].original;
    const State o = state.originals[original].state;
    if (o != State::kDone && o != State::kQueued && o != State::kRunning) needed.insert(original);
  }
  out.originals.assign(needed.begin(), needed.end());
  return out;
}

Chunking make_chunks(const sweep::Plan& plan, const Site& site, const Choice& choice, std::int64_t array_size,
                     std::size_t in_queue) {
  const std::size_t room = room_for_cells(site, choice.originals.size(), in_queue);
  Chunking out;
  add_chunks(out.chunks, "originals", tasks_of_originals(plan, choice), array_size);
  const auto packing = pack_cells(plan, choice.cells, site, room);
  Tasks tasks;
  double seconds = 0;
  for (const auto& task : packing.tasks) {
    tasks.emplace_back();
    for (const auto cell : task.cells) tasks.back().push_back(plan.cells[cell].id);
    seconds = std::max(seconds, task.seconds);
  }
  add_chunks(out.chunks, "cells", tasks, array_size);
  out.chunks.push_back({"reduce", "reduce", {}, ChunkState::kPlanned, "", ""});
  out.left = packing.left.size();
  out.cells = choice.cells.size() - out.left;
  out.text =
      fmt::format("{} in {} of up to about {}, {}\n", counted(static_cast<std::int64_t>(out.cells), "cell"),
                  counted(std::ssize(tasks), "task"), human_seconds(seconds),
                  counted(std::ssize(choice.originals), "original"));
  if (out.left > 0)
    out.text += fmt::format(
        "{} cells do not fit into what the site allows at once (limits.max_submitted {}): submit again when "
        "these have ended\n",
        out.left, site.max_submitted);
  return out;
}

std::string size_text(const Chunk& chunk) {
  if (chunk.stage == "reduce") return "makes the board";
  std::int64_t cells = 0;
  for (const auto& task : chunk.tasks) cells += std::ssize(task);
  return counted(std::ssize(chunk.tasks), "task") + ", " +
         counted(cells, chunk.stage == "originals" ? "original" : "cell");
}

}  // namespace expunge::cluster
