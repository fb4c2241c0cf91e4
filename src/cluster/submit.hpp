// submit, resubmit and cancel: what of a sweep goes to the scheduler, in which order, recorded before and
// after each call.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cluster/site.hpp"
#include "cluster/state.hpp"

namespace expunge::cluster {

struct SubmitRequest {
  std::filesystem::path job_file, out;  // `out`: the folder that holds the sweep's folder
  std::vector<std::string> overrides;   // --set
  bool again = false;                   // resubmit: also what failed, timed out or is damaged
  bool dry_run = false;                 // writes and submits nothing; the scheduler is not asked
  std::string program;                  // this program's path
};

struct SubmitReport {
  std::string text;  // for people, what was done
  std::vector<std::string> jobs;
  std::size_t cells = 0;  // sent
};

// Originals, then cells behind them, then the reducer (`afterany` throughout). First finishes a submission
// that was cut short; then sends what is neither done nor in the queue. SchedulerError when sbatch refuses:
// what was accepted before is on record, and the next call goes on. ConfigError when jobs of another version
// of the job file are still in the queue.
SubmitReport submit(const sweep::Plan& plan, const Site& site, const Scheduler& scheduler,
                    const SubmitRequest& request);

// Stops the jobs of this sweep that are in the queue, and keeps its tasks from going back there. Returns
// their ids.
std::vector<std::string> cancel(const sweep::Layout& layout, const Scheduler& scheduler);

// Where results go: `--out` when given, else the site's scratch folder, else "results".
std::filesystem::path output_folder(const std::string& given, const Site& site);

}  // namespace expunge::cluster
