// `expunge check`: every problem of the job files, before anything runs.
#include <fmt/format.h>

#include "cli/commands.hpp"
#include "core/counted.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "data/dataset.hpp"
#include "sweep/sweep.hpp"

namespace expunge::cli {
namespace check_command {

// Absent data is no mistake of the job, but better known now.
void warn_of_missing_data(const sweep::Plan& plan) {
  std::string told;
  for (const auto& original : plan.originals) {
    std::string where;
    if (original.dataset != told &&
        !data::available(original.dataset, original.settings.at("dataset_options"), where))
      log::warn("{}: {}", plan.file, where);
    told = original.dataset;
  }
}

int run(Args& args) {
  const auto overrides = args.repeated("--set", "SECTION.KEY=VALUE", "override a setting");
  const auto jobs = args.positionals("JOB.toml", 1, Args::kMany, "job files");
  args.finish();
  std::string problems;
  int code = kExitOk;
  for (const auto& job : jobs) {
    try {
      const auto plan = sweep::load(job, overrides);
      fmt::print("{}: ok: {}, {}\n", job, counted(std::ssize(plan.cells), "cell"),
                 counted(std::ssize(plan.originals), "original"));
      warn_of_missing_data(plan);
    } catch (const UsageError&) {
      throw;
    } catch (const Error& error) {
      problems += (problems.empty() ? "" : "\n") + std::string(error.what());
      if (code == kExitOk) code = error.exit_code();
    }
  }
  if (code != kExitOk) throw Error(code, problems);
  return kExitOk;
}

const RegisterCommand entry{"check", "find the mistakes in job files, all at once", run};

}  // namespace check_command
}  // namespace expunge::cli
