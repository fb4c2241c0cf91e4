// expunge submit, resubmit, status and cancel: a sweep on a Slurm cluster. Each call looks, acts and returns;
// nothing stays behind but jobs in the queue and their record in the sweep's folder.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "cli/commands.hpp"
#include "cluster/submit.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/signals.hpp"
#include "core/text.hpp"

namespace expunge::cli {
namespace cluster_command {

struct Options {
  std::string job, site, out;
  std::vector<std::string> overrides;
};

Options common(Args& args, const char* site_help) {
  Options o;
  o.site = args.option("--site", "SITE.toml", "", site_help);
  o.out =
      args.option("--out", "DIR", "",
                  "folder that holds the sweep's folder (default: the site's scratch folder, else results)");
  o.overrides = args.repeated("--set", "SECTION.KEY=VALUE", "overrides a setting of the job file");
  return o;
}

cluster::Site site_of(const Options& o, bool needed) {
  if (o.site.empty() && needed) throw UsageError("--site SITE.toml is missing: slurm/ has examples");
  return o.site.empty() ? cluster::Site{} : cluster::read_site(o.site);
}

std::string this_program() {
  const auto path = program_path();
  return path.empty() ? "expunge" : path.string();
}

int send(Args& args, bool again) {
  auto o = common(args, "the cluster");
  const bool dry_run = args.flag("--dry-run", "print the batch scripts and do nothing");
  o.job = args.positionals("JOB.toml", 1, 1, "the job file").front();
  args.finish();
  const auto site = site_of(o, true);
  const auto plan = sweep::load(o.job, o.overrides);
  const cluster::SubmitRequest request{
      o.job, cluster::output_folder(o.out, site), o.overrides, again, dry_run, this_program()};
  const auto report = cluster::submit(plan, site, cluster::Scheduler{}, request);
  fmt::print("{}", report.text);
  return kExitOk;
}

int submit(Args& args) { return send(args, false); }
int resubmit(Args& args) { return send(args, true); }

// Looks once. Without a scheduler the files alone decide.
cluster::SweepState look(cluster::StateReader& reader, const sweep::Layout& layout) {
  const cluster::Scheduler scheduler;
  const auto submissions = cluster::read_submissions(layout);
  std::optional<std::vector<cluster::QueueEntry>> queue;
  std::string no_queue;
  if (!submissions.empty()) {
    try {
      queue = scheduler.queue();
    } catch (const cluster::SchedulerError& error) {
      no_queue = error.what();
    }
  }
  return reader.read(submissions, queue, no_queue, &scheduler);
}

int status(Args& args) {
  auto o = common(args, "the cluster; needed only where it names the results' folder");
  const bool json = args.flag("--json", "print JSON");
  const bool watch = args.flag("--watch", "look again until every cell is settled");
  const double interval = args.number("--interval", "SECONDS", 10, "between two looks of --watch");
  o.job = args.positionals("JOB.toml", 1, 1, "the job file").front();
  args.finish();
  const auto site = site_of(o, false);
  const auto plan = sweep::load(o.job, o.overrides);
  const sweep::Layout layout{cluster::output_folder(o.out, site) / plan.name};
  cluster::StateReader reader(plan, layout);
  const bool live = watch && ::isatty(STDOUT_FILENO) == 1;
  if (watch) install_signal_handlers();
  while (true) {
    const auto state = look(reader, layout);
    if (live) fmt::print("\033[H\033[J");
    fmt::print("{}", json ? cluster::state_json(plan, layout, state).dump(1) + "\n"
                          : cluster::state_text(plan, layout, state));
    std::fflush(stdout);
    const bool settled = state.count(cluster::State::kQueued) + state.count(cluster::State::kRunning) == 0;
    if (!watch || settled) return kExitOk;
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(static_cast<long>(interval * 1e3));
    while (std::chrono::steady_clock::now() < until) {
      if (requested_exit() != 0) return kExitInterrupted;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
}

int cancel(Args& args) {
  auto o = common(args, "the cluster; needed only where it names the results' folder");
  o.job = args.positionals("JOB.toml", 1, 1, "the job file").front();
  args.finish();
  const auto site = site_of(o, false);
  const auto plan = sweep::load(o.job, o.overrides);
  const auto jobs =
      cluster::cancel(sweep::Layout{cluster::output_folder(o.out, site) / plan.name}, cluster::Scheduler{});
  fmt::print("{}\n",
             jobs.empty() ? "nothing of this sweep is in the queue" : "cancelled: " + join(jobs, ", "));
  return kExitOk;
}

const RegisterCommand submit_entry{"submit", "hand the missing cells of a sweep to Slurm", submit};
const RegisterCommand resubmit_entry{"resubmit", "hand what failed, timed out or is damaged to Slurm again",
                                     resubmit};
const RegisterCommand status_entry{"status", "what of a sweep is done, running, failed (and why), missing",
                                   status};
const RegisterCommand cancel_entry{"cancel", "stop this sweep's jobs, and no others", cancel};

}  // namespace cluster_command
}  // namespace expunge::cli
