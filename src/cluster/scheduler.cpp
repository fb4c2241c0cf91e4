#include "cluster/scheduler.hpp"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "cluster/command.hpp"
#include "core/text.hpp"

namespace expunge::cluster {
namespace {

constexpr double kPatience = 60;        // seconds for an answer of the controller
constexpr double kShortPatience = 10;   // where the answer is only a help
constexpr std::size_t kIdsACall = 500;  // on one command line

CommandResult ask(const std::vector<std::string>& words, double seconds = kPatience) {
  auto result = run_command(words, seconds, {"SLURM_BITSTR_LEN=0"});  // whole index lists, however long
  if (!result.found)
    throw SchedulerError(fmt::format(
        "{} is not on PATH: run this on a login node of the cluster, or load its modules", words[0]));
  return result;
}

std::string user_name() {
  const passwd* user = ::getpwuid(::getuid());
  return user ? user->pw_name : std::to_string(::getuid());
}

std::int64_t number_of(std::string_view text, const std::string& whole) {
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    throw SchedulerError(fmt::format("cannot make sense of the index list \"{}\"", whole));
  return out;
}

// The value of ` KEY=value ` in a line of scontrol.
std::string field(const std::string& line, const std::string& key) {
  const auto at = (" " + line).find(" " + key + "=");
  if (at == std::string::npos) return "";
  const auto begin = at + key.size() + 1;
  return line.substr(begin, line.find(' ', begin) - begin);
}

void add_accounting(const std::vector<std::string>& jobs, std::map<Element, JobEnd>& out) {
  const auto result = run_command(
      {"sacct", "-n", "-X", "-P", "-o", "JobID,State,ExitCode", "-j", join(jobs, ",")}, kShortPatience);
  if (!result.ok()) return;
  for (const auto& line : split(result.out, '\n')) {
    const auto fields = split(line, '|');
    if (fields.size() < 3 || fields[0].find('[') != std::string::npos) continue;
    const auto underscore = fields[0].find('_');
    Element element{fields[0].substr(0, underscore), -1};
    if (underscore != std::string::npos)
      element.second = std::strtoll(fields[0].c_str() + underscore + 1, nullptr, 10);
    out.try_emplace(element, JobEnd{fields[1].substr(0, fields[1].find(' ')), "exit " + fields[2]});
  }
}

}  // namespace

std::vector<std::int64_t> parse_indices(const std::string& text) {
  std::vector<std::int64_t> out;
  for (const auto& part : split(text.substr(0, text.find('%')), ',')) {
    const auto colon = part.find(':'), dash = part.find('-');
    const std::int64_t first = number_of(std::string_view(part).substr(0, dash), text);
    std::int64_t last = first, step = 1;
    if (dash != std::string::npos)
      last = number_of(std::string_view(part).substr(dash + 1, colon - dash - 1), text);
    if (colon != std::string::npos)
      step = std::max<std::int64_t>(1, number_of(std::string_view(part).substr(colon + 1), text));
    for (std::int64_t i = first; i <= last; i += step) out.push_back(i);
  }
  return out;
}

std::vector<QueueEntry> parse_queue(const std::string& text) {
  std::vector<QueueEntry> out;
  for (const auto& line : split(text, '\n')) {
    if (line.empty()) continue;
    const auto fields = split(line, '|');
    if (fields.size() < 4)
      throw SchedulerError(fmt::format("cannot make sense of squeue's line \"{}\"", line));
    QueueEntry entry{fields[0], -1, fields[1], fields[2], fields[3]};
    const auto underscore = entry.job.find('_');
    if (underscore == std::string::npos) {
      out.push_back(std::move(entry));
      continue;
    }
    std::string indices = entry.job.substr(underscore + 1);
    entry.job.resize(underscore);
    if (!indices.empty() && indices.front() == '[') indices = indices.substr(1, indices.find(']') - 1);
    for (const auto index : parse_indices(indices)) {
      entry.index = index;
      out.push_back(entry);
    }
  }
  return out;
}

std::map<Element, JobEnd> parse_jobs(const std::string& text) {
  std::map<Element, JobEnd> out;
  for (const auto& line : split(text, '\n')) {
    const std::string array = field(line, "ArrayJobId"), indices = field(line, "ArrayTaskId"),
                      state = field(line, "JobState");
    if (state.empty()) continue;
    const std::string job = array.empty() ? field(line, "JobId") : array;
    const JobEnd end{state, fmt::format("{}, exit {}", field(line, "Reason"), field(line, "ExitCode"))};
    if (array.empty()) {
      out[{job, -1}] = end;
      continue;
    }
    try {
      for (const auto index : parse_indices(indices)) out[{job, index}] = end;
    } catch (const SchedulerError&) {  // an odd line costs a reason, no more
    }
  }
  return out;
}

std::string Scheduler::submit(const std::vector<std::string>& options,
                              const std::filesystem::path& script) const {
  std::vector<std::string> words{"sbatch", "--parsable"};
  words.insert(words.end(), options.begin(), options.end());
  words.push_back(script.string());
  const auto result = ask(words);
  if (!result.ok())
    throw SchedulerError(fmt::format("sbatch refused {}: {}", script.string(), result.message()));
  // `12` or `12;cluster`; sites print greetings before it.
  const auto lines = split(result.out, '\n');
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    const std::string id = line->substr(0, line->find(';'));
    if (!id.empty() && id.find_first_not_of("0123456789") == std::string::npos) return id;
  }
  throw SchedulerError(fmt::format("sbatch gave no job id for {}: {}", script.string(), result.message()));
}

std::vector<QueueEntry> Scheduler::queue() const {
  const auto result = ask({"squeue", "-h", "-u", user_name(), "-o", "%i|%T|%r|%k"});
  if (!result.ok()) throw SchedulerError(fmt::format("squeue failed: {}", result.message()));
  return parse_queue(result.out);
}

std::map<Element, JobEnd> Scheduler::ended(const std::vector<std::string>& jobs) const {
  std::map<Element, JobEnd> out;
  for (const auto& job : jobs) {
    const auto result = run_command({"scontrol", "show", "job", "-o", job}, kShortPatience);
    if (!result.found || result.timed_out) break;
    if (result.ok()) out.merge(parse_jobs(result.out));
  }
  std::set<std::string> known;
  for (const auto& [element, end] : out) known.insert(element.first);
  std::vector<std::string> rest;
  for (const auto& job : jobs)
    if (!known.count(job)) rest.push_back(job);
  for (std::size_t i = 0; i < rest.size(); i += kIdsACall)
    add_accounting({rest.begin() + static_cast<std::ptrdiff_t>(i),
                    rest.begin() + static_cast<std::ptrdiff_t>(std::min(rest.size(), i + kIdsACall))},
                   out);
  return out;
}

void Scheduler::cancel(const std::vector<std::string>& jobs) const {
  std::vector<std::string> words{"scancel"};
  words.insert(words.end(), jobs.begin(), jobs.end());
  const auto result = ask(words);
  if (!result.ok()) throw SchedulerError(fmt::format("scancel failed: {}", result.message()));
}

std::int64_t Scheduler::max_array_size() const {
  const auto result = ask({"scontrol", "show", "config"});
  for (const auto& line : split(result.out, '\n')) {
    const auto at = line.find("MaxArraySize");
    const auto equals = line.find('=');
    if (at != std::string::npos && equals != std::string::npos)
      return std::strtoll(line.c_str() + equals + 1, nullptr, 10);
  }
  return 0;
}

}  // namespace expunge::cluster
