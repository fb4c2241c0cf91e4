// Slurm as this program uses it: sbatch, squeue, scontrol, scancel, and sacct where it answers. Nothing is
// remembered between calls.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/error.hpp"

namespace expunge::cluster {

// The scheduler is not there or refused; its own words are in the message.
struct SchedulerError : Error {
  explicit SchedulerError(const std::string& message) : Error(kExitScheduler, message) {}
};

// One array element (or one job without an array) that is not over yet.
struct QueueEntry {
  std::string job;          // "123", the array's id
  std::int64_t index = -1;  // of the array; -1: no array
  std::string state;        // PENDING, RUNNING, COMPLETING, ...
  std::string reason;       // why it is pending
  std::string comment;      // what submit() gave it
};

// What became of an element that has left the queue.
struct JobEnd {
  std::string state;   // COMPLETED, FAILED, TIMEOUT, NODE_FAIL, CANCELLED, ...
  std::string reason;  // of the scheduler
};

using Element = std::pair<std::string, std::int64_t>;  // job, index

// The entries of `squeue` lines `JOB|STATE|REASON|COMMENT`, JOB as in 12, 12_3 or 12_[0-4,7%2].
// SchedulerError for others.
std::vector<QueueEntry> parse_queue(const std::string& text);
// `0-4,7,9-13:2`, in order. SchedulerError otherwise.
std::vector<std::int64_t> parse_indices(const std::string& text);
// `scontrol show job -o`, one job a line.
std::map<Element, JobEnd> parse_jobs(const std::string& text);

class Scheduler {
 public:
  // Options, then the script. The id of the new job.
  std::string submit(const std::vector<std::string>& options, const std::filesystem::path& script) const;
  std::vector<QueueEntry> queue() const;  // all of this user's
  // As far as the scheduler (or its accounting) still knows. Never fails.
  std::map<Element, JobEnd> ended(const std::vector<std::string>& jobs) const;
  void cancel(const std::vector<std::string>& jobs) const;
  std::int64_t max_array_size() const;  // of slurm.conf; 0 when it does not say
};

}  // namespace expunge::cluster
