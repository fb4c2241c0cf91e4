// expunge submit, resubmit, status and cancel: a sweep on a Slurm cluster. Each call looks, acts and returns;
// nothing stays behind but jobs in the queue and their record in the sweep's folder.
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <string_view>
#include <thread>

#include "cli/commands.hpp"
#include "cluster/memory.hpp"
#include "cluster/submit.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/log.hpp"
#include "core/signals.hpp"
#include "core/text.hpp"
#include "sweep/outline.hpp"

namespace expunge::cli {
namespace cluster_command {

constexpr double kLongestInterval = 86400;  // seconds

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
  const auto plan = sweep::load_outline(o.job, o.overrides);
  for (const auto& line : cluster::memory_warnings(plan, site)) log::warn("{}", line);
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

bool at_work(const std::vector<cluster::NodeState>& nodes) {
  return std::any_of(nodes.begin(), nodes.end(), [](const cluster::NodeState& node) {
    return node.state == cluster::State::kQueued || node.state == cluster::State::kRunning;
  });
}

// At most so many bytes of a text, and no half character.
std::string_view cut(std::string_view line, std::size_t most) {
  if (line.size() <= most) return line;
  while (most > 0 && (static_cast<unsigned char>(line[most]) & 0xC0) == 0x80) --most;
  return line.substr(0, most);
}

// One look, on standard output. Of a live view only what fits: a longer text would scroll its head away.
void show(std::string_view text, bool live) {
  if (!live) {
    fmt::print("{}", text);
  } else {
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2 && size.ws_col > 0;
    if (text.ends_with('\n')) text.remove_suffix(1);
    // Line by line over the old text, so that nothing flickers; then the rest of the screen is cleared.
    fmt::print("\033[H");
    std::size_t rows = known ? size.ws_row - 2u : SIZE_MAX;
    for (const auto& line : split(text, '\n'))
      if (rows-- > 0)
        fmt::print("{}\033[K\n", cut(line, known ? size.ws_col : line.size()));
      else
        break;
    fmt::print("\033[J{} UTC, Ctrl-C ends\033[K\n", utc_now().substr(11, 8));
  }
  std::fflush(stdout);
}

// False when a signal came first.
bool wait_for(double seconds) {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(static_cast<long>(seconds * 1e3));
  while (std::chrono::steady_clock::now() < until) {
    if (requested_exit() != 0) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return requested_exit() == 0;
}

int status(Args& args) {
  auto o = common(args, "the cluster; needed only where it names the results' folder");
  const bool json = args.flag("--json", "print JSON");
  const bool watch = args.flag("--watch", "look again until every cell is settled");
  const double interval = args.number("--interval", "SECONDS", 10, "between two looks of --watch");
  o.job = args.positionals("JOB.toml", 1, 1, "the job file").front();
  args.finish();
  if (!(interval >= 0.1 && interval <= kLongestInterval))
    throw UsageError(fmt::format("--interval must be from 0.1 to {} seconds", kLongestInterval));
  const auto site = site_of(o, false);
  const auto plan = sweep::load_outline(o.job, o.overrides);
  const sweep::Layout layout{cluster::output_folder(o.out, site) / plan.name};
  cluster::StateReader reader(plan, layout);
  const bool live = watch && ::isatty(STDOUT_FILENO) == 1;
  if (watch) install_signal_handlers();
  if (live) fmt::print("\033[2J");
  while (true) {
    const auto state = look(reader, layout);
    // A look of --watch is one line of JSON.
    show(json ? cluster::state_json(plan, layout, state, watch ? -1 : 1) + "\n"
              : cluster::state_text(plan, layout, state),
         live && !json);
    if (!watch || !(at_work(state.cells) || at_work(state.originals))) return kExitOk;
    if (!wait_for(interval)) return kExitInterrupted;
  }
}

int cancel(Args& args) {
  auto o = common(args, "the cluster; needed only where it names the results' folder");
  o.job = args.positionals("JOB.toml", 1, 1, "the job file").front();
  args.finish();
  const auto site = site_of(o, false);
  const auto plan = sweep::load_outline(o.job, o.overrides);
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
