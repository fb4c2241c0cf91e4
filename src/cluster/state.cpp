#include "cluster/state.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <future>
#include <set>
#include <string_view>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "cluster/reasons.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "store/sealed_file.hpp"
#include "store/store_file.hpp"

namespace expunge::cluster {
namespace {

constexpr double kClaimSeconds = 120;  // without a heartbeat: nobody is at work on the node

// What a folder holds. Where it cannot be listed: what could be, and why not all in `problems`.
std::vector<fs::path> entries_of(const fs::path& folder, std::vector<std::string>& problems) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator at(folder, error); !error && at != fs::directory_iterator();
       at.increment(error))
    out.push_back(at->path());
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory)
    problems.push_back(fmt::format("cannot list {}: {}", folder.string(), error.message()));
  return out;
}

double work_of(const sweep::Cell& cell) {
  return (cell.budget_flops > 0 ? std::min(cell.flops, cell.budget_flops) : cell.flops) + cell.eval_flops;
}

}  // namespace

const char* state_name(State state) {
  switch (state) {
    case State::kDone:
      return "done";
    case State::kRunning:
      return "running";
    case State::kQueued:
      return "queued";
    case State::kFailed:
      return "failed";
    case State::kTimedOut:
      return "timed_out";
    case State::kCorrupt:
      return "corrupt";
    case State::kMissing:
      return "missing";
  }
  return "?";
}

std::size_t SweepState::count(State state) const {
  return static_cast<std::size_t>(
      std::count_if(cells.begin(), cells.end(), [&](const NodeState& n) { return n.state == state; }));
}

// Reads a store, good or damaged, unless it is as it was.
void StateReader::look_at(const fs::path& store, Seen& seen) {
  struct stat info {};
  seen.there = ::stat(store.c_str(), &info) == 0;
  if (!seen.there) return;
  const auto modified = static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec;
  if (seen.modified == modified && seen.size == static_cast<std::uintmax_t>(info.st_size)) return;
  seen = {static_cast<std::uintmax_t>(info.st_size), modified, true, "", "", 0};
  try {
    const auto row = store::read_row(store);
    seen.outcome = row.status;
    if (const auto wall = row.timing.find("wall"); wall != row.timing.end()) seen.seconds = wall->second;
  } catch (const Error& error) {
    seen.problem = error.what();
  }
}

// Several at once: most of the time goes into waiting for the file system.
void StateReader::look_at_stores() {
  constexpr std::size_t kStoresWorthAThread = 500, kThreadsPerCore = 2;
  seen_originals_.resize(plan_.originals.size());
  seen_cells_.resize(plan_.cells.size());
  for (std::size_t i = 0; i < plan_.originals.size(); ++i)
    look_at(layout_.original_store(plan_.originals[i].id), seen_originals_[i]);
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < plan_.cells.size(); i = next++)
      if (stores_.count(plan_.cells[i].id + ".h5") > 0)
        look_at(layout_.cell_store(plan_.cells[i].id), seen_cells_[i]);
      else
        seen_cells_[i].there = false;
  };
  const std::size_t threads = std::min(kThreadsPerCore * std::max(1u, std::thread::hardware_concurrency()),
                                       1 + stores_.size() / kStoresWorthAThread);
  std::vector<std::future<void>> others;
  try {
    for (std::size_t k = 1; k < threads; ++k) others.push_back(std::async(std::launch::async, work));
  } catch (const std::system_error&) {  // no more threads to be had: those that are there do it
  }
  work();
  for (auto& other : others) other.get();
}

void StateReader::list_folders() {
  unlisted_.clear();
  const auto add = [&](const fs::path& folder, Names& names) {
    for (const auto& path : entries_of(folder, unlisted_)) names.insert(path.filename().string());
  };
  stores_.clear(), failures_.clear(), claims_.clear();
  for (const auto& folder : entries_of(layout_.root / "cells", unlisted_)) add(folder, stores_);
  add(layout_.root / "failures", failures_);
  add(layout_.root / "claims", claims_);
}

void StateReader::from_files(const std::string& id, const Seen& seen, NodeState& node) const {
  if (!seen.there) return from_records(id, node);
  node.outcome = seen.outcome;
  node.seconds = seen.seconds;
  node.state = seen.problem.empty() ? State::kDone : State::kCorrupt;
  node.reason = seen.problem;
}

void StateReader::from_records(const std::string& id, NodeState& node) const {
  if (!failures_.count(id + ".json")) return;
  const auto record = read_json(layout_.failure(id));
  if (!record) return;
  node.state = State::kFailed;
  node.reason = record->value("reason", "unreadable failure record");
}

// Who is at work on a node now.
std::optional<std::string> StateReader::claimed_by(const std::string& id) const {
  if (!claims_.count(id + ".json")) return std::nullopt;
  const auto path = layout_.claim(id);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || std::difftime(std::time(nullptr), info.st_mtime) > kClaimSeconds)
    return std::nullopt;
  const auto claim = read_json(path);
  if (!claim || !claim->contains("host")) return std::nullopt;
  return fmt::format("{}, process {}", claim->value("host", "?"), claim->value("pid", 0L));
}

// The last submission that holds a node, if any.
void StateReader::find_places(const std::vector<Submission>& submissions) {
  original_places_.assign(plan_.originals.size(), {});
  cell_places_.assign(plan_.cells.size(), {});
  if (submissions.empty()) return;
  std::unordered_map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < plan_.cells.size(); ++i) index[plan_.cells[i].id] = i;
  for (const auto& submission : submissions)
    for (const auto& chunk : submission.chunks)
      for (std::size_t t = 0; t < chunk.tasks.size(); ++t)
        for (const auto& id : chunk.tasks[t]) {
          const auto found = index.find(id);
          if (found == index.end()) continue;
          auto& place = chunk.stage == "originals" ? original_places_[plan_.cells[found->second].original]
                                                   : cell_places_[found->second];
          place = {&submission, &chunk, t};
        }
}

void StateReader::from_queue(const std::vector<Submission>& submissions, const std::vector<QueueEntry>& queue,
                             SweepState& out) {
  std::map<Element, const QueueEntry*> entries;
  std::map<std::string, std::vector<const QueueEntry*>> by_job;
  for (const auto& entry : queue) {
    entries[{entry.job, entry.index}] = &entry;
    by_job[entry.job].push_back(&entry);
  }
  const auto is_pending = [](const QueueEntry& e) {
    return e.state == "PENDING" || e.state == "REQUEUED" || e.state == "REQUEUE_HOLD";
  };
  const auto settle = [&](const Place& place, const std::string& id, NodeState& node) {
    if (!place.chunk || place.chunk->job.empty() || node.state == State::kDone) return;
    node.job = element_name(*place.chunk, place.task);
    const auto found = entries.find({place.chunk->job, static_cast<std::int64_t>(place.task)});
    if (found == entries.end()) return;
    const bool waits = is_pending(*found->second);
    const auto owner = waits ? std::nullopt : claimed_by(id);
    // A cell that failed while its task goes on with others is not tried again by it.
    if (node.state == State::kFailed && !waits && !owner) return;
    node.state = owner ? State::kRunning : State::kQueued;
    node.reason = owner ? *owner : waits ? found->second->reason : "its task is running";
  };
  for (std::size_t i = 0; i < plan_.originals.size(); ++i)
    settle(original_places_[i], plan_.originals[i].id, out.originals[i]);
  for (std::size_t i = 0; i < plan_.cells.size(); ++i)
    settle(cell_places_[i], plan_.cells[i].id, out.cells[i]);
  for (const auto& submission : submissions)
    for (const auto& chunk : submission.chunks) {
      const auto found = by_job.find(chunk.job);
      if (chunk.job.empty() || found == by_job.end()) continue;
      QueuedJob job{submission.number(), chunk.name, chunk.job, "", 0, 0};
      for (const auto* entry : found->second) {
        const bool waits = is_pending(*entry);
        ++(waits ? job.pending : job.running);
        if (waits) job.reason = entry->reason;
      }
      out.jobs.push_back(std::move(job));
    }
}

void StateReader::explain(SweepState& out, const Scheduler* scheduler) const {
  std::set<std::string> jobs;
  const auto ask_about = [&](const std::vector<NodeState>& nodes, const std::vector<Place>& places) {
    for (std::size_t i = 0; i < nodes.size(); ++i)
      if ((nodes[i].state == State::kMissing || nodes[i].state == State::kFailed) && places[i].chunk &&
          !places[i].chunk->job.empty() && places[i].chunk->state == ChunkState::kSubmitted)
        jobs.insert(places[i].chunk->job);
  };
  ask_about(out.originals, original_places_);
  ask_about(out.cells, cell_places_);
  std::map<Element, JobEnd> ends;
  if (scheduler && !jobs.empty()) ends = scheduler->ended({jobs.begin(), jobs.end()});
  const auto settle = [&](const std::string& id, const Place& place, NodeState& node) {
    explain_end(layout_, id, place, ends, node);
    if (node.state != State::kMissing || !node.reason.empty()) return;
    // Runs without a scheduler leave claims, too.
    if (const auto owner = claimed_by(id)) node.state = State::kRunning, node.reason = *owner;
  };
  for (std::size_t i = 0; i < plan_.originals.size(); ++i)
    settle(plan_.originals[i].id, original_places_[i], out.originals[i]);
  for (std::size_t i = 0; i < plan_.cells.size(); ++i)
    settle(plan_.cells[i].id, cell_places_[i], out.cells[i]);
}

void StateReader::list_damage(SweepState& out) const {
  const auto prefix_free = [&](std::string text) {
    const std::string prefix = layout_.root.string() + "/";
    if (text.rfind(prefix, 0) == 0) text.erase(0, prefix.size());
    return text;
  };
  for (const auto* nodes : {&out.originals, &out.cells})
    for (const auto& node : *nodes)
      if (node.state == State::kCorrupt) out.notes.push_back("damaged store: " + prefix_free(node.reason));
  std::error_code ignored;
  for (const auto& path : entries_of(layout_.root / "checkpoints", out.notes)) {
    if (path.extension() != ".h5") continue;
    try {
      store::verify_seal(path);
    } catch (const Error& error) {
      if (fs::exists(path, ignored))
        out.notes.push_back("damaged checkpoint (the other generation is used): " +
                            prefix_free(error.what()));
    }
  }
  for (const auto& path : entries_of(layout_.root / "conflicts", out.notes))
    out.notes.push_back(
        fmt::format("two runs of cell {} differ: {}", path.stem().string(), prefix_free(path.string())));
  out.notes.insert(out.notes.end(), unlisted_.begin(), unlisted_.end());
  std::sort(out.notes.begin(), out.notes.end());
}

// Remaining work at the pace of the finished cells, shared by what is at work now (or by all, when nothing
// is).
void StateReader::estimate(SweepState& out) const {
  double seconds = 0, work = 0, left = 0;
  std::size_t at_work = 0, waiting = 0;
  for (std::size_t i = 0; i < plan_.cells.size(); ++i) {
    const auto& node = out.cells[i];
    if (node.state == State::kDone) seconds += node.seconds, work += work_of(plan_.cells[i]);
    if (node.state == State::kRunning) ++at_work;
    if (node.state == State::kRunning || node.state == State::kQueued)
      left += work_of(plan_.cells[i]), ++waiting;
  }
  if (waiting == 0)
    out.seconds_left = 0;
  else if (work > 0)
    out.seconds_left = left * seconds / work / static_cast<double>(std::max<std::size_t>(1, at_work));
}

SweepState StateReader::read(const std::vector<Submission>& submissions,
                             const std::optional<std::vector<QueueEntry>>& queue, const std::string& no_queue,
                             const Scheduler* scheduler) {
  SweepState out;
  out.originals.resize(plan_.originals.size());
  out.cells.resize(plan_.cells.size());
  list_folders();
  look_at_stores();
  for (std::size_t i = 0; i < plan_.originals.size(); ++i)
    from_files(plan_.originals[i].id, seen_originals_[i], out.originals[i]);
  for (std::size_t i = 0; i < plan_.cells.size(); ++i)
    from_files(plan_.cells[i].id, seen_cells_[i], out.cells[i]);
  find_places(submissions);
  if (queue)
    from_queue(submissions, *queue, out);
  else if (!no_queue.empty())
    out.notes.push_back("the queue is not known: " + no_queue);
  explain(out, queue ? scheduler : nullptr);
  list_damage(out);
  for (const auto& submission : submissions)
    if (submission.plan_sha256 != plan_.sha256) out.changed.push_back(submission.number());
  estimate(out);
  return out;
}

}  // namespace expunge::cluster
