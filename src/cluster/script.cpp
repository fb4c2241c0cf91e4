#include "cluster/script.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cluster/command.hpp"
#include "cluster/packing.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"

namespace expunge::cluster {
namespace {

constexpr std::int64_t kReduceLimit = 1800;  // seconds
constexpr int kLastRanksSeconds = 8;         // for the other ranks to end after the first

void add(std::string& to, const std::string& option, const std::string& value) {
  if (!value.empty()) to += fmt::format("#SBATCH {}={}\n", option, shell_quoted(value));
}

std::string directives(const ScriptContext& c, const Submission& submission, const Chunk& chunk) {
  const Site& site = c.site;
  const bool reduce = chunk.stage == "reduce";
  std::string out;
  add(out, "--job-name", fmt::format("{}.{}", c.plan.name, chunk.name));
  add(out, "--comment", comment_of(c.layout, submission, chunk));
  add(out, "--chdir", c.working_folder.string());
  add(out, "--output",
      (c.layout.logs() /
       fmt::format("{}.{}.{}.log", submission.number(), chunk.name, reduce ? "%j" : "%A_%a"))
          .string());
  out += "#SBATCH --open-mode=append\n";
  add(out, "--partition", site.partition);
  add(out, "--account", site.account);
  add(out, "--qos", site.qos);
  add(out, "--reservation", site.reservation);
  add(out, "--constraint", site.constraint);
  if (!reduce) {
    add(out, "--gres", site.gres);
    if (site.nodes > 0) add(out, "--nodes", std::to_string(site.nodes));
    add(out, "--array",
        fmt::format("0-{}{}", chunk.tasks.size() - 1,
                    site.throttle > 0 ? fmt::format("%{}", site.throttle) : ""));
    if (site.launcher != "none")
      add(out, "--signal",
          fmt::format("{}USR1@{}", site.launcher == "mpirun" ? "B:" : "", site.signal_before_end));
    else
      add(out, "--signal", fmt::format("B:USR1@{}", site.signal_before_end));
  }
  add(out, "--ntasks", std::to_string(reduce ? 1 : site.ranks));
  add(out, "--cpus-per-task", std::to_string(site.cpus_per_rank));
  add(out, "--mem-per-cpu", site.memory_per_cpu);
  add(out, "--time", time_limit_text(reduce ? std::min(kReduceLimit, site.time_limit) : site.time_limit));
  out += site.requeue ? "#SBATCH --requeue\n" : "#SBATCH --no-requeue\n";
  for (const auto& option : site.options) out += fmt::format("#SBATCH {}\n", option);
  out.pop_back();
  return out;
}

std::string environment(const Site& site) {
  std::map<std::string, std::string> all = {{"OMP_NUM_THREADS", "1"}, {"HDF5_USE_FILE_LOCKING", "FALSE"}};
  if (!site.scratch.empty()) all["EXPUNGE_CACHE"] = (site.scratch / "cache").string();
  for (const auto& [name, value] : site.environment) all[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : all)
    lines.push_back(fmt::format("export {}={}", name, shell_quoted(value)));
  return join(lines, "\n");
}

std::string launcher(const Site& site) {
  std::vector<std::string> words;
  // The step ends soon after a rank is gone, on whatever node and without a word. --kill-on-bad-exit would
  // also hit the ranks that are about to leave with 85.
  if (site.launcher == "srun")
    words = {"srun", "--mpi=" + site.mpi, "--kill-on-bad-exit=0", fmt::format("--wait={}", kLastRanksSeconds),
             fmt::format("--cpus-per-task={}", site.cpus_per_rank)};
  if (site.launcher == "mpirun")
    words = {"mpirun", "--quiet", "--bind-to", "none", "-n", std::to_string(site.ranks)};
  for (const auto& option : site.launcher_options) words.push_back(shell_quoted(option));
  return words.empty() ? "" : join(words, " ") + " ";
}

std::string command(const ScriptContext& c, const Submission& submission, const Chunk& chunk) {
  const std::string program = shell_quoted(c.program.string());
  if (chunk.stage == "reduce")
    return fmt::format("{} reduce {}", program, shell_quoted(c.layout.root.string()));
  std::string out =
      launcher(c.site) + program + " run " + shell_quoted((submission.folder / "job.toml").string());
  out += " --out " + shell_quoted(c.out.string()) + " --only " + chunk.stage;
  out += " --cells @" + shell_quoted(submission.tasks_file(chunk).string()) + ":$task";
  out += fmt::format(" --ranks-per-cell {} --device {} --max-restarts {}",
                     chunk.stage == "originals" ? c.site.ranks : group_ranks(c.plan, c.site), c.site.device,
                     c.site.max_restarts);
  for (const auto& setting : submission.overrides) out += " --set " + shell_quoted(setting);
  return out;
}

}  // namespace

std::filesystem::path template_path(const Site& site) {
  return site.batch_template.empty() ? std::filesystem::path(EXPUNGE_SLURM_FOLDER) / "task.sbatch"
                                     : site.batch_template;
}

std::string render_script(const ScriptContext& c, const Submission& submission, const Chunk& chunk) {
  const bool reduce = chunk.stage == "reduce";
  std::vector<std::string> modules;
  for (const auto& module : c.site.modules) modules.push_back("module load " + module);
  const std::map<std::string, std::string> values = {
      {"DIRECTIVES", directives(c, submission, chunk)},
      {"ENVIRONMENT", environment(c.site)},
      {"FOLDER", shell_quoted(submission.folder.string())},
      {"CHUNK", chunk.name},
      {"REQUEUE", c.site.requeue && !reduce ? "true" : "false"},
      {"FORWARD", c.site.launcher == "srun" || reduce ? "false" : "true"},
      {"MODULES", modules.empty() ? "# no modules" : join(modules, "\n")},
      {"SETUP", c.site.setup.empty() ? "# no further set-up" : join(c.site.setup, "\n")},
      {"COMMAND", command(c, submission, chunk)}};
  const auto path = template_path(c.site);
  const std::string text = read_file(path);
  for (const char* needed : {"@DIRECTIVES@", "@COMMAND@", "@FOLDER@"})
    if (text.find(needed) == text.npos)
      throw ConfigError(fmt::format("{}: the template lacks {}", path.string(), needed));
  std::string out;
  int line = 0;
  for (const auto& row : split(text, '\n')) {
    ++line;
    const bool comment = row.rfind("# ", 0) == 0;
    std::size_t at = 0;
    for (std::size_t begin; !comment && (begin = row.find('@', at)) != row.npos;) {
      const auto end = row.find('@', begin + 1);
      const std::string word = end == row.npos ? "" : row.substr(begin + 1, end - begin - 1);
      const bool is_word =
          !word.empty() && word.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == word.npos;
      if (is_word && !values.count(word)) {
        std::vector<std::string> names;
        for (const auto& [name, value] : values) names.push_back(name);
        throw ConfigError(fmt::format("{}:{}:{}: unknown word @{}@{}", path.string(), line, begin + 1, word,
                                      did_you_mean(word, names)));
      }
      out += row.substr(at, begin - at) + (is_word ? values.at(word) : "@");
      at = is_word ? end + 1 : begin + 1;
    }
    out += row.substr(at) + "\n";
  }
  out.pop_back();
  return out;
}

}  // namespace expunge::cluster
