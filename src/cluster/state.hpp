// Where a sweep stands: from its stores, failure records, claims and submissions, and from the scheduler
// where it answers.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cluster/scheduler.hpp"
#include "cluster/submission.hpp"
#include "sweep/sweep.hpp"

namespace expunge::cluster {

// In the order of judgement: a good store decides, then what is at work, then what the last run left behind.
enum class State { kDone, kRunning, kQueued, kFailed, kTimedOut, kCorrupt, kMissing };
const char* state_name(
    State state);  // "done", "running", "queued", "failed", "timed_out", "corrupt", "missing"

struct NodeState {
  State state = State::kMissing;
  std::string outcome;  // of a store: ok | diverged | budget
  std::string reason;   // why there is none
  std::string job;      // element of the last submission that holds it: "12_3"; empty when none
  double seconds = 0;   // wall time of a done node
};

// Where a node is in the last submission that holds it.
struct Place {
  const Submission* submission = nullptr;  // null: in none
  const Chunk* chunk = nullptr;
  std::size_t task = 0;
};

// A job of a submission that is still in the queue.
struct QueuedJob {
  std::string submission, chunk, job, reason;
  std::size_t running = 0, pending = 0;
};

struct SweepState {
  std::vector<NodeState> originals, cells;  // in the plan's order
  std::vector<QueuedJob> jobs;
  std::vector<std::string>
      notes;  // damaged files, conflicts, a changed job file, a scheduler that does not answer
  std::vector<std::string> changed;      // numbers of submissions that were made from another set of cells
  double seconds_left = -1;              // estimated; negative: nothing to go by
  std::size_t count(State state) const;  // of cells
};

// Keeps what it read of stores between calls: a live view opens only new files.
class StateReader {
 public:
  StateReader(const sweep::Plan& plan, const sweep::Layout& layout) : plan_(plan), layout_(layout) {}

  // `queue`: empty optional when the scheduler is not to be asked, or did not answer (`no_queue` says why).
  SweepState read(const std::vector<Submission>& submissions,
                  const std::optional<std::vector<QueueEntry>>& queue, const std::string& no_queue,
                  const Scheduler* scheduler);

 private:
  struct Seen {
    std::uintmax_t size = 0;
    std::int64_t modified = 0;
    bool there = false;
    std::string outcome, problem;  // problem: why it is unreadable
    double seconds = 0;
  };
  // Names of what a folder holds. One listing of each folder is asked for, not three files of each cell.
  using Names = std::unordered_set<std::string>;
  void list_folders();
  static void look_at(const std::filesystem::path& store, Seen& seen);
  void look_at_stores();
  void from_files(const std::string& id, const Seen& seen, NodeState& node) const;
  void from_records(const std::string& id, NodeState& node) const;
  void find_places(const std::vector<Submission>& submissions);
  void from_queue(const std::vector<Submission>& submissions, const std::vector<QueueEntry>& queue,
                  SweepState& out);
  void explain(SweepState& out, const Scheduler* scheduler) const;
  void list_damage(SweepState& out) const;
  void estimate(SweepState& out) const;
  std::optional<std::string> claimed_by(const std::string& id) const;

  const sweep::Plan& plan_;
  const sweep::Layout& layout_;
  std::vector<Seen> seen_originals_, seen_cells_;  // in the plan's order
  Names stores_, failures_, claims_;
  std::vector<std::string> unlisted_;  // folders that could not be listed, and why
  std::vector<Place> original_places_, cell_places_;
};

// For people and for programs.
std::string state_text(const sweep::Plan& plan, const sweep::Layout& layout, const SweepState& state);
// JSON with so many spaces a step; -1: in one line.
std::string state_json(const sweep::Plan& plan, const sweep::Layout& layout, const SweepState& state,
                       int indent);

}  // namespace expunge::cluster
