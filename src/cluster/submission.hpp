// What was handed to the scheduler, on disk: OUT/SWEEP/slurm/0001/{submission.json, job.toml, site.toml,
// NAME.sbatch, NAME.tasks, ended/}. A chunk's state is written before and after each call of sbatch, so
// nothing is ever submitted without a record.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sweep/sweep.hpp"

namespace expunge::cluster {

enum class ChunkState { kPlanned, kSubmitting, kSubmitted, kCancelled };
const char* chunk_state_name(ChunkState state);  // "planned", ...

// One job: an array of tasks, or the reducer.
struct Chunk {
  std::string name;   // "originals.0", "cells.2", "reduce"
  std::string stage;  // originals | cells | reduce
  // Of each array element: ids of cells. For originals: one cell of each original. None for the reducer.
  std::vector<std::vector<std::string>> tasks;
  ChunkState state = ChunkState::kPlanned;
  std::string job;         // the scheduler's id
  std::string dependency;  // as given to sbatch
};

struct Submission {
  std::filesystem::path folder;  // OUT/SWEEP/slurm/0001
  std::string created_utc, plan_sha256, job_file, site_file;
  std::vector<std::string> overrides;  // --set
  std::vector<Chunk> chunks;
  std::int64_t time_limit = 0;  // seconds, of a task

  std::string number() const { return folder.filename().string(); }
  bool unfinished() const;  // a chunk is planned, or nobody knows whether sbatch took it
  std::filesystem::path script(const Chunk& chunk) const { return folder / (chunk.name + ".sbatch"); }
  std::filesystem::path tasks_file(const Chunk& chunk) const { return folder / (chunk.name + ".tasks"); }
  // What a task's script left when it ended: {exit, job, host, restart, seconds, time}.
  std::filesystem::path ended_file(const Chunk& chunk, std::size_t task) const {
    return folder / "ended" / (chunk.name + "." + std::to_string(task) + ".json");
  }
  std::filesystem::path reason_file(const Chunk& chunk,
                                    std::size_t task) const {  // one line, where it ended with an error
    return folder / "ended" / (chunk.name + "." + std::to_string(task) + ".reason");
  }
  std::filesystem::path cancel_mark() const { return folder / "cancelled"; }
};

inline std::filesystem::path submissions_folder(const sweep::Layout& layout) { return layout.root / "slurm"; }

// Makes the folder with the next free number. DataError 73 when it cannot.
void create_folder(const sweep::Layout& layout, Submission& submission);
// Replaces submission.json; the tasks' lists are written once, by write_tasks.
void write_submission(const Submission& submission);
void write_tasks(const Submission& submission);

// All of a sweep, oldest first. A damaged record is DataError 65 with its path.
std::vector<Submission> read_submissions(const sweep::Layout& layout);

// The scheduler's comment of a chunk's job: by it a job is found again whose id nobody could write down.
std::string comment_of(const sweep::Layout& layout, const Submission& submission, const Chunk& chunk);

// While it lives, no other process submits for this sweep. DataError 73 when one does.
class SubmitLock {
 public:
  explicit SubmitLock(const sweep::Layout& layout);
  ~SubmitLock();
  SubmitLock(const SubmitLock&) = delete;
  SubmitLock& operator=(const SubmitLock&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace expunge::cluster
