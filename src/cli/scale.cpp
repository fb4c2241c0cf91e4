// `expunge scale`: steps of a job on several numbers of ranks. This process starts the ranks, launch after
// launch, each setting in turn so that what disturbs the machine disturbs all, and reads the line of JSON
// that rank 0 prints (`--probe`).
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "board/svg.hpp"
#include "cli/commands.hpp"
#include "cli/engine_entry.hpp"
#include "cli/scaling.hpp"
#include "cluster/command.hpp"
#include "core/counted.hpp"
#include "core/cpus.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "sweep/sweep.hpp"

namespace expunge::cli {
namespace {

using nlohmann::json;

constexpr const char* kLauncher = "mpirun --quiet --oversubscribe --bind-to none";
constexpr int kMostRanks = 1 << 16;

// "1,2,4": ascending.
std::vector<int> read_ranks(const std::string& text) {
  std::vector<int> out;
  for (const auto& word : split(text, ',')) {
    const bool digits = !word.empty() && word.size() < 7 && word.find_first_not_of("0123456789") == word.npos;
    const int ranks = digits ? std::stoi(word) : 0;
    if (ranks < 1 || ranks > kMostRanks)
      throw UsageError(fmt::format("--ranks: \"{}\" is no number of ranks", word));
    if (!out.empty() && ranks <= out.back())
      throw UsageError(fmt::format("--ranks: {} after {}; expected ascending numbers", ranks, out.back()));
    out.push_back(ranks);
  }
  return out;
}

// "2,12.5": microseconds and gigabytes a second.
stat::Link read_network(const std::string& text) {
  const auto words = split(text, ',');
  double value[2] = {0, 0};
  for (std::size_t i = 0; i < 2; ++i) {
    char* end = nullptr;
    if (words.size() == 2) value[i] = std::strtod(words[i].c_str(), &end);
    if (words.size() != 2 || words[i].empty() || *end != 0 || !(value[i] > 0) || !(value[i] < 1e9))
      throw UsageError(fmt::format(
          "--network: \"{}\"; expected microseconds of a message and GB/s, such as 2,12.5", text));
  }
  return {value[0] * 1e-6, 1e-9 / value[1]};
}

struct Wish {
  std::string job, cell, device;
  std::vector<std::string> set, launcher;
  bool weak = false;
  std::int64_t steps = 20, launches = 3;
  std::vector<int> ranks;
};

// One launch on this setting; the line of its rank 0.
json launch(const Wish& wish, const Setting& setting) {
  std::vector<std::string> words;
  if (setting.first > 1) {
    words = wish.launcher;
    words.insert(words.end(), {"-n", std::to_string(setting.first)});
  }
  words.insert(words.end(), {program_path().string(), "scale", wish.job, "--probe", "--steps",
                             std::to_string(wish.steps), "--device", wish.device});
  if (wish.weak) words.emplace_back("--weak");
  if (setting.second > 0) words.insert(words.end(), {"--threads", std::to_string(setting.second)});
  if (!wish.cell.empty()) words.insert(words.end(), {"--cell", wish.cell});
  for (const auto& s : wish.set) words.insert(words.end(), {"--set", s});
  // In a container the user often is root, and Open MPI then wants to be told twice.
  std::vector<std::string> environment;
  if (::geteuid() == 0) environment = {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"};
  constexpr double kPatience = 24 * 3600;
  const auto result = cluster::run_command(words, kPatience, environment);
  if (!result.found) throw DataError::missing(fmt::format("{}: not found on PATH", words[0]));
  const std::string on = "on " + counted(setting.first, "rank");
  if (!result.ok())
    throw Error(result.exit_code > 128 || result.exit_code <= 0 ? kExitComm : result.exit_code,
                fmt::format("{}: {}", on, result.message()));
  for (const auto& line : split(result.out, '\n'))
    if (auto found = json::parse(line, nullptr, false); found.is_object() && found.contains("scale")) {
      if (found.at("ranks").get<int>() != setting.first)
        throw Error(kExitComm, fmt::format("{}: {} started {}", on, words[0], found.at("ranks").get<int>()));
      return found;
    }
  throw Error(kExitComm, fmt::format("{}: no measurement came back", on));
}

ScalingMeasurement measure(const Wish& wish) {
  ScalingMeasurement out;
  // What is wrong is told once, before any launch.
  out.sweep = sweep::load(wish.job, wish.set).name;
  if (wish.ranks.back() > 1 && !cluster::run_command({wish.launcher[0], "--version"}).found)
    throw DataError::missing(fmt::format("{}: not found on PATH (--launcher)", wish.launcher[0]));
  out.weak = wish.weak;
  out.cpus = static_cast<int>(own_cpus().size());
  std::set<Setting> settings{{1, 0}};
  if (out.cpus > 1) settings.insert({1, out.cpus});
  for (const int ranks : wish.ranks) settings.insert({ranks, 0});
  for (std::int64_t i = 0; i < wish.launches; ++i)
    for (const auto& setting : settings) {
      const json found = launch(wish, setting);
      log::info("launch {} of {}: {} of {}: {:.2f} ms a step", i + 1, wish.launches,
                counted(setting.first, "rank"), counted(found.at("threads").get<int>(), "thread"),
                1e3 * found.at("step_s").get<double>());
      out.launches[setting].push_back(found);
    }
  return out;
}

bool under_launcher() {
  return std::getenv("OMPI_COMM_WORLD_SIZE") || std::getenv("PMIX_RANK") || std::getenv("PMI_RANK");
}

int run(Args& args) {
  Wish wish;
  const auto ranks = args.option("--ranks", "LIST", "1,2", "numbers of ranks, ascending");
  const auto mode = args.option("--mode", "strong|weak", "strong",
                                "strong: the job's batch is shared by the ranks; weak: each rank has one");
  const bool weak = args.flag("--weak", "the same as --mode weak");
  wish.cell = args.option("--cell", "ID", "", "a cell of the sweep instead of its first original");
  wish.launches = args.integer("--launches", "N", 3, 1, "launches of each setting");
  wish.steps = args.integer("--steps", "N", 20, 1, "measured steps of a launch");
  wish.set = args.repeated("--set", "SECTION.KEY=VALUE", "overrides a setting of the job file");
  wish.device = args.option("--device", "auto|cpu|cuda", "auto", "auto: GPUs where a driver answers");
  const auto launcher = args.option("--launcher", "WORDS", kLauncher, "starts ranks, with -n N behind it");
  const auto network =
      args.option("--network", "US,GBPS", "2,12.5",
                  "of the prediction: microseconds of a message between nodes, GB/s of a node");
  const auto per_node = args.integer("--ranks-per-node", "N", 0, 0,
                                     "of the prediction: ranks of a node; 0 = this machine's CPUs");
  const auto csv = args.option("--csv", "FILE", "", "writes what was measured and predicted as CSV");
  const auto svg = args.option("--svg", "FILE", "", "writes a picture of the efficiency");
  const bool as_json = args.flag("--json", "prints JSON");
  const bool probe = args.flag("--probe", "measure on the ranks at hand and print a line of JSON");
  const auto threads = args.integer("--threads", "N", 0, 0, "with --probe: threads of a rank; 0 = the job's");
  wish.job = args.positionals("JOB.toml", 1, 1, "the job file").front();
  args.finish();
  if (mode != "strong" && mode != "weak")
    throw UsageError(fmt::format("--mode {}: expected strong or weak", mode));
  wish.weak = weak || mode == "weak";
  if (probe)
    return run_engine("scale-probe", json{{"job", wish.job},
                                          {"set", wish.set},
                                          {"cell", wish.cell},
                                          {"device", wish.device},
                                          {"weak", wish.weak},
                                          {"steps", wish.steps},
                                          {"threads", threads}});
  wish.ranks = read_ranks(ranks);
  wish.launcher = split(launcher, ' ');
  std::erase(wish.launcher, "");
  if (wish.launcher.empty()) throw UsageError("--launcher: no program");
  const auto link = read_network(network);
  if (under_launcher())
    throw UsageError("scale starts its ranks itself: call it without mpirun or srun (--launcher says how)");
  auto measured = measure(wish);
  measured.network = link;
  measured.ranks_per_node = per_node > 0 ? static_cast<int>(per_node) : measured.cpus;
  const auto result = analyse(measured);
  if (as_json)
    fmt::print("{}\n", scaling_json(measured, result).dump(2));
  else
    fmt::print("{}", scaling_text(measured, result));
  if (!csv.empty()) write_file_atomic(csv, scaling_csv(measured, result));
  if (!svg.empty()) write_file_atomic(svg, board::standalone(scaling_svg(measured, result)));
  return kExitOk;
}

const RegisterCommand entry{"scale", "strong and weak scaling of the real step, and what it predicts", run};

}  // namespace
}  // namespace expunge::cli
