#include "cluster/submit.hpp"

#include <algorithm>
#include <set>

#include "cluster/chunks.hpp"
#include "cluster/script.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"

namespace expunge::cluster {
namespace {

constexpr std::int64_t kDefaultArraySize = 1001;  // of a slurm.conf that does not say

class Submitter {
 public:
  Submitter(const sweep::Plan& plan, const Site& site, const Scheduler& scheduler,
            const SubmitRequest& request)
      : plan_(plan),
        site_(site),
        scheduler_(scheduler),
        request_(request),
        layout_{fs::absolute(request.out).lexically_normal() / plan.name},
        context_{site,
                 plan,
                 layout_,
                 layout_.root.parent_path(),
                 fs::current_path(),
                 site.program.empty() ? request.program : site.program} {}

  SubmitReport run() {
    if (request_.dry_run) return dry_run();
    for (const char* part : {"logs", "cells", "originals", "failures", "checkpoints", "claims"})
      make_folder(layout_.root / part);
    const SubmitLock lock(layout_);
    submissions_ = read_submissions(layout_);
    queue_ = scheduler_.queue();
    find_lost_jobs();
    refuse_mixing();
    for (auto& submission : submissions_)
      if (submission.unfinished()) go_on(submission);
    if (!report_.jobs.empty()) queue_ = scheduler_.queue();
    send_rest();
    return report_;
  }

 private:
  SubmitReport dry_run() {
    submissions_ = read_submissions(layout_);
    Submission submission;
    submission.folder = submissions_folder(layout_) / fmt::format("{:04}", submissions_.size() + 1);
    const auto state = StateReader(plan_, layout_).read(submissions_, std::nullopt, "", nullptr);
    const auto choice = choose(plan_, state, request_.again);
    if (choice.cells.empty()) {
      say("nothing to submit");
      return report_;
    }
    plan_chunks(submission, choice, site_.max_array_size);
    for (const auto& chunk : submission.chunks)
      report_.text += fmt::format("--- {}: {}{}\n{}\n", submission.script(chunk).string(), size_text(chunk),
                                  dependency_text(chunk), render_script(context_, submission, chunk));
    return report_;
  }

  // Jobs of an older job file would go on beside those of this one.
  void refuse_mixing() const {
    std::vector<std::string> alive, numbers;
    for (const auto& submission : submissions_) {
      if (submission.plan_sha256 == plan_.sha256) continue;
      for (const auto& chunk : submission.chunks)
        if (chunk.stage != "reduce" && in_queue(chunk))
          alive.push_back(chunk.job), numbers.push_back(submission.number());
    }
    if (alive.empty()) return;
    throw ConfigError(
        fmt::format("{}: changed since submission {} (its cells have other ids), whose jobs {} are still in "
                    "the queue: wait for them, cancel them "
                    "(expunge cancel), or give the changed sweep another name",
                    plan_.file, numbers.back(), join(alive, ", ")));
  }

  bool in_queue(const Chunk& chunk) const {
    return !chunk.job.empty() &&
           std::any_of(queue_.begin(), queue_.end(), [&](const QueueEntry& e) { return e.job == chunk.job; });
  }

  // Chunks that sbatch took, but whose id nobody could write down, are found by their comment; what is not in
  // the queue is to be sent (again).
  void find_lost_jobs() {
    for (auto& submission : submissions_) {
      bool changed = false;
      for (auto& chunk : submission.chunks) {
        if (chunk.state != ChunkState::kSubmitting) continue;
        const std::string comment = comment_of(layout_, submission, chunk);
        const auto found = std::find_if(queue_.begin(), queue_.end(),
                                        [&](const QueueEntry& e) { return e.comment == comment; });
        chunk.state = found == queue_.end() ? ChunkState::kPlanned : ChunkState::kSubmitted;
        if (found != queue_.end()) chunk.job = found->job;
        changed = true;
      }
      if (changed) write_submission(submission);
    }
  }

  // A submission that was cut short.
  void go_on(Submission& submission) {
    if (submission.plan_sha256 != plan_.sha256) {
      for (auto& chunk : submission.chunks)
        if (chunk.state != ChunkState::kSubmitted) chunk.state = ChunkState::kCancelled;
      write_submission(submission);
      say(fmt::format("submission {} was of another version of the job file: what it had not sent is dropped",
                      submission.number()));
      return;
    }
    say(fmt::format("going on with submission {}", submission.number()));
    send(submission);
  }

  void send_rest() {
    StateReader reader(plan_, layout_);
    const auto state = reader.read(submissions_, queue_, "", &scheduler_);
    const auto choice = choose(plan_, state, request_.again);
    if (choice.cells.empty()) {
      if (report_.jobs.empty()) say(nothing_text(state));
      return;
    }
    Submission submission;
    submission.created_utc = utc_now();
    submission.plan_sha256 = plan_.sha256;
    submission.job_file = fs::absolute(request_.job_file).string();
    submission.site_file = site_.file.string();
    submission.overrides = request_.overrides;
    submission.time_limit = site_.time_limit;
    plan_chunks(submission, choice,
                site_.max_array_size > 0 ? site_.max_array_size : scheduler_.max_array_size());
    create_folder(layout_, submission);
    write_file_atomic(submission.folder / "job.toml", plan_.text);
    write_file_atomic(submission.folder / "site.toml", site_.text);
    write_tasks(submission);
    for (const auto& chunk : submission.chunks)
      write_file_atomic(submission.script(chunk), render_script(context_, submission, chunk));
    write_submission(submission);
    forget_failures(choice, submission);
    submissions_.push_back(submission);
    send(submissions_.back());
  }

  void plan_chunks(Submission& submission, const Choice& choice, std::int64_t array_size) {
    auto chunking =
        make_chunks(plan_, site_, choice, array_size > 1 ? array_size : kDefaultArraySize, queue_.size());
    submission.chunks = std::move(chunking.chunks);
    report_.cells = chunking.cells;
    report_.text += chunking.text;
  }

  // Old reasons, and claims of jobs that are no longer there, would only mislead and delay the new tasks.
  void forget_failures(const Choice& choice, const Submission& submission) const {
    std::error_code ignored;
    const auto forget = [&](const std::string& id) {
      fs::remove(layout_.failure(id), ignored);
      const auto claim = layout_.claim(id);
      if (claim_of_ended_job(claim)) fs::remove(claim, ignored);
    };
    for (const auto original : choice.originals) forget(plan_.originals[original].id);
    for (const auto& chunk : submission.chunks)
      if (chunk.stage == "cells")
        for (const auto& task : chunk.tasks)
          for (const auto& id : task) forget(id);
  }

  bool claim_of_ended_job(const fs::path& claim) const {
    std::error_code ignored;
    if (!fs::exists(claim, ignored)) return false;
    try {
      const auto element = nlohmann::json::parse(read_file(claim)).value("element", "");
      const std::string job = element.substr(0, element.find('_'));
      return !job.empty() &&
             std::none_of(queue_.begin(), queue_.end(), [&](const QueueEntry& e) { return e.job == job; });
    } catch (const std::exception&) {
      return false;
    }
  }

  // Jobs that a stage must wait for: the earlier stages of all submissions, as far as they are in the queue.
  std::string dependency_of(const Submission& submission, const Chunk& chunk) const {
    std::vector<std::string> jobs;
    const auto add = [&](const Submission& s) {
      for (const auto& other : s.chunks) {
        const bool before = chunk.stage == "reduce" ? other.stage != "reduce"
                                                    : chunk.stage == "cells" && other.stage == "originals";
        if (before && other.state == ChunkState::kSubmitted &&
            (own_jobs_.count(other.job) || in_queue(other)))
          jobs.push_back(other.job);
      }
    };
    for (const auto& s : submissions_)
      if (s.folder != submission.folder) add(s);
    add(submission);
    return jobs.empty() ? "" : "afterany:" + join(jobs, ":");
  }

  void send(Submission& submission) {
    for (auto& chunk : submission.chunks) {
      if (chunk.state != ChunkState::kPlanned) continue;
      chunk.dependency = dependency_of(submission, chunk);
      chunk.state = ChunkState::kSubmitting;
      write_submission(submission);
      std::vector<std::string> options;
      if (!chunk.dependency.empty()) options.push_back("--dependency=" + chunk.dependency);
      try {
        chunk.job = scheduler_.submit(options, submission.script(chunk));
      } catch (const SchedulerError& error) {
        // Left as kSubmitting: an sbatch that got no answer may have been heard, so the next call asks the
        // queue.
        throw SchedulerError(fmt::format("{}; {}", error.what(), sent_text(submission)));
      }
      chunk.state = ChunkState::kSubmitted;
      own_jobs_.insert(chunk.job);
      write_submission(submission);
      report_.jobs.push_back(chunk.job);
      say(fmt::format("job {}: {} {}{}", chunk.job, chunk.name, size_text(chunk), dependency_text(chunk)));
    }
  }

  static std::string dependency_text(const Chunk& chunk) {
    return chunk.dependency.empty() ? "" : ", " + chunk.dependency;
  }

  static std::string sent_text(const Submission& submission) {
    std::vector<std::string> sent;
    for (const auto& chunk : submission.chunks)
      if (chunk.state == ChunkState::kSubmitted)
        sent.push_back(fmt::format("{} (job {})", chunk.name, chunk.job));
    return fmt::format("submission {} has {}; submit again to send the rest", submission.number(),
                       sent.empty() ? "sent nothing yet" : "sent " + join(sent, ", "));
  }

  std::string nothing_text(const SweepState& state) const {
    const auto again =
        state.count(State::kFailed) + state.count(State::kTimedOut) + state.count(State::kCorrupt);
    if (!request_.again && again > 0)
      return fmt::format("nothing is missing; {} cells failed, timed out or are damaged: expunge resubmit",
                         again);
    const auto waiting = state.count(State::kQueued) + state.count(State::kRunning);
    return waiting > 0 ? fmt::format("nothing to submit: {} cells are in the queue", waiting)
                       : "nothing to submit: every cell is done";
  }

  void say(const std::string& line) { report_.text += line + "\n"; }

  const sweep::Plan& plan_;
  const Site& site_;
  const Scheduler& scheduler_;
  const SubmitRequest& request_;
  sweep::Layout layout_;
  ScriptContext context_;
  std::vector<Submission> submissions_;
  std::vector<QueueEntry> queue_;
  std::set<std::string> own_jobs_;  // of this call: newer than queue_
  SubmitReport report_;
};

}  // namespace

SubmitReport submit(const sweep::Plan& plan, const Site& site, const Scheduler& scheduler,
                    const SubmitRequest& request) {
  return Submitter(plan, site, scheduler, request).run();
}

fs::path output_folder(const std::string& given, const Site& site) {
  if (!given.empty()) return given;
  return site.scratch.empty() ? fs::path("results") : site.scratch / "results";
}

}  // namespace expunge::cluster
