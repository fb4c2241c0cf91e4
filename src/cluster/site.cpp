#include "cluster/site.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

#include "config/job.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"

namespace expunge::cluster {
namespace {

using config::ge;
using config::gt;

constexpr std::int64_t kMinute = 60, kHour = 3600, kDay = 86400;
const std::vector<std::string> kSections = {"slurm", "limits", "tasks", "launch", "environment"};

// $NAME and ${NAME} of the submitting user's environment, in paths only.
std::string expand(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$') {
      out += text[i];
      continue;
    }
    const bool braces = i + 1 < text.size() && text[i + 1] == '{';
    std::size_t begin = i + (braces ? 2 : 1), end = begin;
    while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_'))
      ++end;
    const char* value = std::getenv(text.substr(begin, end - begin).c_str());
    if (!value) throw ConfigError(fmt::format("\"{}\" is not set", text.substr(begin, end - begin)));
    out += value;
    i = braces && end < text.size() ? end : end - 1;
  }
  return out;
}

std::filesystem::path path_of(config::Reader& in, const std::string& key, const std::string& help) {
  const std::string text = in.text(key, "", help);
  if (text.empty()) return {};
  try {
    return expand(text);
  } catch (const ConfigError& error) {
    in.problem(key, error.what());
    return {};
  }
}

std::int64_t time_of(config::Reader& in, const std::string& key, const std::string& fallback,
                     const std::string& help) {
  const std::string text = in.text(key, fallback, help);
  try {
    return parse_time_limit(text);
  } catch (const ConfigError& error) {
    in.problem(key, error.what());
    return kHour;
  }
}

bool one_word(const std::string& text) {
  return text.find_first_of(" \t\n'\"\\$`;|&<>") == std::string::npos;
}

std::string word_of(config::Reader& in, const std::string& key, const std::string& help) {
  const std::string text = in.text(key, "", help);
  if (!one_word(text)) in.problem(key, "expected one word, without spaces or quotes");
  return text;
}

void read_slurm(config::Reader& in, Site& site) {
  site.partition = word_of(in, "partition", "partition (queue) of the jobs");
  site.account = word_of(in, "account", "account that pays");
  site.qos = word_of(in, "qos", "quality of service");
  site.gres = word_of(in, "gres", "per node, like gpu:4");
  site.constraint = in.text("constraint", "", "features of nodes");
  site.reservation = word_of(in, "reservation", "reservation");
  site.memory_per_cpu = word_of(in, "memory_per_cpu", "like 4G");
  site.options = in.texts("options", {}, "further options of sbatch, like --exclusive");
  site.nodes = in.integer("nodes", 0, ge(0), "nodes of a task; 0 = as many as the ranks need");
  site.ranks = in.integer("ranks", 1, ge(1), "ranks of a task");
  site.cpus_per_rank = in.integer("cpus_per_rank", 1, ge(1), "CPUs of a rank");
  site.time_limit = time_of(in, "time_limit", "01:00:00", "of a task, like 12:00:00");
  site.signal_before_end =
      in.integer("signal_before_end", 180, ge(10), "seconds before the limit at which a task checkpoints");
  site.requeue = in.flag("requeue", true, "tasks may put themselves back into the queue");
  site.max_restarts = in.integer("max_restarts", 20, ge(0), "of one task");
  for (const auto& option : site.options)
    if (option.rfind("-", 0) != 0)
      in.problem("options", fmt::format("\"{}\" is no option: expected --name or --name=value", option));
  if (site.signal_before_end * 2 > site.time_limit)
    in.problem("signal_before_end", fmt::format("{} s is more than half of the time limit ({})",
                                                site.signal_before_end, time_limit_text(site.time_limit)));
}

void read_limits(config::Reader& in, Site& site) {
  site.max_array_size =
      in.integer("max_array_size", 0, ge(0), "MaxArraySize of slurm.conf; 0 = ask the scheduler");
  site.max_submitted =
      in.integer("max_submitted", 0, ge(0), "array elements a user may have in the queue; 0 = no cap");
  site.throttle = in.integer("throttle", 0, ge(0), "elements of one array that run at once; 0 = no limit");
  if (site.max_array_size == 1) in.problem("max_array_size", "expected 0, or 2 or more");
  if (site.max_submitted > 0 && site.max_submitted < 3)
    in.problem("max_submitted", "expected 0, or 3 or more: originals, cells and the reducer");
}

void read_tasks(config::Reader& in, Site& site) {
  site.minutes = in.number("minutes", 30, gt(0), "of work in one task");
  site.gflops = in.number("gflops", 20, gt(0), "speed of one rank, for estimates");
  site.cell_seconds = in.number("cell_seconds", 1, ge(0), "of a cell beside its FLOPs");
  site.ranks_per_cell =
      in.integer("ranks_per_cell", 0, ge(0), "ranks that work on one cell; 0 = as the plan says");
}

void read_launch(config::Reader& in, Site& site) {
  site.launcher = in.choice("launcher", "srun", {"srun", "mpirun", "none"}, "starts the ranks");
  site.mpi = word_of(in, "mpi", "plugin of srun --mpi (default pmix)");
  if (site.mpi.empty()) site.mpi = "pmix";
  site.launcher_options = in.texts("options", {}, "further options of the launcher");
  site.modules = in.texts("modules", {}, "environment modules to load");
  site.setup = in.texts("setup", {}, "lines of shell to run before the launcher");
  site.program = path_of(in, "program", "expunge on the nodes; default: the program that submits").string();
  site.device = in.choice("device", "auto", {"auto", "cpu", "cuda"}, "as run --device");
  site.scratch = path_of(in, "scratch", "shared folder for results and the data cache");
  site.batch_template = path_of(in, "template", "of the batch script; default: the shipped one");
  if (site.launcher == "none" && site.ranks > 1)
    in.problem("launcher", "\"none\" starts one rank; slurm.ranks asks for more");
  for (const auto& module : site.modules)
    if (!one_word(module)) in.problem("modules", fmt::format("\"{}\": expected one word a module", module));
}

void read_environment(const config::Job& job, config::Diagnostics& problems, Site& site) {
  config::Reader in("environment", job.layers({{"environment"}}), problems);
  for (const auto& name : job.names({"environment"})) {
    site.environment[name] = in.text(name, "", "exported in every job");
    const bool good = name.find_first_not_of(
                          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == name.npos &&
                      !std::isdigit(static_cast<unsigned char>(name[0]));
    if (!good) in.problem(name, "no name of an environment variable");
  }
  in.finish();
}

template <class Read>
void section(const config::Job& job, const char* name, config::Diagnostics& problems, Site& site,
             Read&& read) {
  config::Reader in(name, job.layers({{name}}), problems);
  read(in, site);
  in.finish();
}

}  // namespace

std::int64_t parse_time_limit(const std::string& text) {
  const auto wrong = [&] {
    return ConfigError(fmt::format(
        "\"{}\" is no time limit: expected minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS", text));
  };
  const auto numbers = [&](const std::string& part) {
    std::vector<std::int64_t> out;
    for (const auto& piece : split(part, ':')) {
      std::int64_t value = 0;
      const auto [end, error] = std::from_chars(piece.data(), piece.data() + piece.size(), value);
      if (piece.empty() || error != std::errc() || end != piece.data() + piece.size() || value < 0)
        throw wrong();
      out.push_back(value);
    }
    return out;
  };
  std::int64_t seconds = 0;
  if (const auto dash = text.find('-'); dash != text.npos) {
    const auto days = numbers(text.substr(0, dash)), rest = numbers(text.substr(dash + 1));
    if (days.size() != 1 || rest.size() > 3) throw wrong();
    const std::int64_t units[] = {kHour, kMinute, 1};
    seconds = days[0] * kDay;
    for (std::size_t i = 0; i < rest.size(); ++i) seconds += rest[i] * units[i];
  } else {
    const auto parts = numbers(text);
    if (parts.size() == 1)
      seconds = parts[0] * kMinute;
    else if (parts.size() == 2)
      seconds = parts[0] * kMinute + parts[1];
    else if (parts.size() == 3)
      seconds = parts[0] * kHour + parts[1] * kMinute + parts[2];
    else
      throw wrong();
  }
  if (seconds < 1) throw wrong();
  return seconds;
}

std::string time_limit_text(std::int64_t seconds) {
  const std::string clock =
      fmt::format("{:02}:{:02}:{:02}", seconds % kDay / kHour, seconds % kHour / kMinute, seconds % kMinute);
  return seconds >= kDay ? fmt::format("{}-{}", seconds / kDay, clock) : clock;
}

Site parse_site(const std::string& text, const std::filesystem::path& file) {
  const config::Job job = config::parse_job(text, file.string());
  config::Diagnostics problems;
  Site site;
  site.file = std::filesystem::absolute(file);
  site.text = text;
  for (const auto& name : job.names({})) {
    const auto* node = job.find({name});
    if (std::find(kSections.begin(), kSections.end(), name) == kSections.end())
      problems.add(node->at, name,
                   fmt::format("unknown section \"{}\"{}", name, did_you_mean(name, kSections)));
    else if (!node->is_table)
      problems.add(node->at, name, fmt::format("expected a section, [{}]", name));
  }
  problems.throw_if_any();
  section(job, "slurm", problems, site, read_slurm);
  section(job, "limits", problems, site, read_limits);
  section(job, "tasks", problems, site, read_tasks);
  section(job, "launch", problems, site, read_launch);
  read_environment(job, problems, site);
  problems.throw_if_any();
  if (site.batch_template.is_relative() && !site.batch_template.empty())
    site.batch_template = site.file.parent_path() / site.batch_template;
  return site;
}

Site read_site(const std::filesystem::path& file) { return parse_site(read_file(file), file); }

}  // namespace expunge::cluster
