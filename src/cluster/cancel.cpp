#include <set>

#include "cluster/submit.hpp"
#include "core/files.hpp"
#include "core/text.hpp"

namespace expunge::cluster {

std::vector<std::string> cancel(const sweep::Layout& layout, const Scheduler& scheduler) {
  auto submissions = read_submissions(layout);
  if (submissions.empty()) return {};
  const SubmitLock lock(layout);
  const auto queue = scheduler.queue();
  std::set<std::string> alive;
  for (const auto& entry : queue) alive.insert(entry.job);
  std::vector<std::string> jobs;
  for (auto& submission : submissions) {
    bool changed = false;
    for (auto& chunk : submission.chunks) {
      if (chunk.state == ChunkState::kSubmitting) {  // sbatch may have taken it
        const std::string comment = comment_of(layout, submission, chunk);
        for (const auto& entry : queue)
          if (entry.comment == comment) chunk.job = entry.job;
      }
      const bool in_queue = !chunk.job.empty() && alive.count(chunk.job);
      if (in_queue) jobs.push_back(chunk.job);
      if (in_queue || (chunk.state != ChunkState::kSubmitted && chunk.state != ChunkState::kCancelled))
        chunk.state = ChunkState::kCancelled, changed = true;
    }
    if (!changed) continue;
    write_file_atomic(submission.cancel_mark(), utc_now() + "\n");
    write_submission(submission);
  }
  if (!jobs.empty()) scheduler.cancel(jobs);
  return jobs;
}

}  // namespace expunge::cluster
