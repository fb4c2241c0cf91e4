#include "cli/site_doctor.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/site_probe.hpp"
#include "cluster/command.hpp"
#include "cluster/script.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"

namespace expunge::cli {
namespace {

using nlohmann::json;

constexpr double kMostClockError = 5;  // seconds between nodes: claims go by the age of files
constexpr double kLeastSpace = 1e9;    // bytes

bool overlap(const json& a, const json& b) {
  std::set<int> mine;
  for (const auto& cpu : a) mine.insert(cpu.get<int>());
  return std::any_of(b.begin(), b.end(), [&](const json& cpu) { return mine.count(cpu.get<int>()) > 0; });
}

// A rank that was bound to CPUs which are too few for all that were bound to them.
bool crowded(const json& rank, const std::vector<json>& ranks, std::int64_t cpus_per_rank) {
  if (rank.at("cpus").size() >= rank.at("machine").get<std::size_t>()) return false;  // not bound
  std::set<int> cpus;
  std::int64_t sharing = 0;
  for (const auto& other : ranks)
    if (other.at("host") == rank.at("host") && overlap(rank.at("cpus"), other.at("cpus"))) {
      ++sharing;
      for (const auto& cpu : other.at("cpus")) cpus.insert(cpu.get<int>());
    }
  return sharing > 1 && static_cast<std::int64_t>(cpus.size()) < sharing * cpus_per_rank;
}

void judge_launch(Report& report, const cluster::Site& site, const std::vector<json>& probes,
                  std::int64_t ranks, const std::string& problem) {
  if (probes.empty()) {
    report.warn(
        "launch", fmt::format("{} did not start the ranks: {}", site.launcher, problem),
        "look at launch.launcher, launch.mpi and the options of [slurm]; try the same by hand with srun");
    return;
  }
  const std::size_t size = probes[0].at("ranks").size();
  if (probes.size() > 1 || size != static_cast<std::size_t>(ranks)) {
    report.warn(
        "launch",
        fmt::format("{} ranks were started, and {} worlds of {} came to be", ranks, probes.size(), size),
        fmt::format("{} does not speak with this MPI ({}): another launch.mpi of `srun --mpi=list`, or "
                    "launcher = \"mpirun\"",
                    site.mpi, probes[0].at("mpi").get<std::string>()));
    return;
  }
  std::set<std::string> hosts;
  for (const auto& rank : probes[0].at("ranks")) hosts.insert(rank.at("host").get<std::string>());
  report.ok("launch",
            fmt::format("{}: {} ranks on {} in one world, {}", site.launcher, ranks,
                        join({hosts.begin(), hosts.end()}, ", "), probes[0].at("mpi").get<std::string>()));
}

std::vector<json> ranks_of(const std::vector<json>& probes) {
  std::vector<json> out;
  for (const auto& probe : probes)
    for (const auto& rank : probe.at("ranks")) out.push_back(rank);
  return out;
}

void judge_binding(Report& report, const cluster::Site& site, const std::vector<json>& probes,
                   const std::string& who, const std::string& change) {
  const auto ranks = ranks_of(probes);
  for (const auto& rank : ranks)
    if (crowded(rank, ranks, site.cpus_per_rank)) {
      report.warn("binding",
                  fmt::format("{} on {} are bound to the same CPUs {}", who,
                              rank.at("host").get<std::string>(), rank.at("cpus").dump()),
                  change);
      return;
    }
  report.ok("binding", fmt::format("no two {} crowd a CPU they are bound to", who));
}

void judge_threads(Report& report, const cluster::Site& site, const json& probe) {
  for (const auto& rank : probe.at("ranks"))
    if (static_cast<std::int64_t>(rank.at("cpus").size()) < site.cpus_per_rank) {
      report.warn("threads",
                  fmt::format("a rank on {} may use {} CPUs, slurm.cpus_per_rank asks for {}",
                              rank.at("host").get<std::string>(), rank.at("cpus").size(), site.cpus_per_rank),
                  "srun: launch.options [\"--cpu-bind=cores\"]; mpirun: --bind-to none");
      return;
    }
  report.ok("threads", fmt::format("every rank has the {} CPUs it asks for", site.cpus_per_rank));
}

void judge_nodes(Report& report, const json& probe, double asked_at, double answered_at) {
  double worst = 0;
  std::string where;
  for (const auto& rank : probe.at("ranks")) {
    const double time = rank.at("time").get<double>();
    const double error = std::max({0.0, asked_at - time, time - answered_at});
    if (error > worst) worst = error, where = rank.at("host").get<std::string>();
  }
  const json& folder = probe.at("folder");
  if (const double skew = std::abs(folder.value("skew", 0.0)); skew > worst)
    worst = skew, where = "the results' file system";
  if (worst > kMostClockError)
    report.warn("clock", fmt::format("the clock of {} is off by {}", where, human_seconds(worst)),
                "let the nodes and the file server keep time (NTP): heartbeats of tasks go by it");
  else
    report.ok("clock", "nodes, file system and this machine agree");
  if (folder.contains("problem")) {
    report.warn("scratch", folder.at("problem"),
                "name a folder that every node can write: launch.scratch, or --out");
    return;
  }
  if (const std::string locks = folder.value("locks", ""); !locks.empty())
    report.warn("locking", fmt::format("no file locks on the nodes: {}", locks),
                "batch scripts set HDF5_USE_FILE_LOCKING=FALSE: keep it so; a safer home for results is a "
                "file system with locks");
  else
    report.ok("locking", "file locks work on the nodes");
  const double free = folder.value("free", 0.0);
  if (free < kLeastSpace)
    report.warn("space", fmt::format("{} free for results on the nodes", human_bytes(free)),
                fmt::format("make room: at least {}", human_bytes(kLeastSpace)));
  else
    report.ok("space", fmt::format("{} free for results on the nodes", human_bytes(free)));
}

void judge_gpu(Report& report, const cluster::Site& site, const json& gpu) {
  const bool wanted = site.gres.find("gpu") != std::string::npos || site.device == "cuda";
  if (gpu.contains("problem"))
    report.warn("nccl", gpu.at("problem"),
                "look at NCCL_SOCKET_IFNAME, the driver, and one rank a GPU (ranks, gres)");
  else if (gpu.contains("none") && wanted)
    report.warn("gpu",
                fmt::format("the site asks for GPUs, the nodes say: {}", gpu.at("none").get<std::string>()),
                "look at gres and partition, or build with CUDA and NCCL");
  else if (gpu.contains("none"))
    report.note("gpu", "none on the nodes, none asked for");
  else
    report.ok("nccl", fmt::format("{} over {}: NCCL {}, an exchange of 1 MB took {:.1f} ms",
                                  gpu.at("device").get<std::string>(), gpu.at("transport").get<std::string>(),
                                  gpu.at("nccl").get<std::string>(), gpu.at("ms").get<double>()));
}

bool check_plugin(Report& report, const cluster::Site& site) {
  if (site.launcher != "srun") return true;
  const auto list = cluster::run_command({"srun", "--mpi=list"}, 30);
  if (!list.found) {
    report.warn("slurm", "srun is not on PATH",
                "run this on a login node, or load the modules of the scheduler");
    return false;
  }
  std::string said = list.out + list.err;
  std::replace(said.begin(), said.end(), '\t', ' ');
  std::vector<std::string> plugins;
  for (const auto& line : split(said, '\n'))
    for (const auto& word : split(line, ' '))
      if (!word.empty() && word.find(':') == std::string::npos && word != "MPI" && word != "plugin" &&
          word != "types" && word != "are...")
        plugins.push_back(word);
  if (std::find(plugins.begin(), plugins.end(), site.mpi) == plugins.end()) {
    report.warn("mpi", fmt::format("srun has no plugin \"{}\"{}", site.mpi, did_you_mean(site.mpi, plugins)),
                "set launch.mpi to one of them; Open MPI wants pmix");
    return false;
  }
  report.ok("mpi", fmt::format("srun has the plugin {}", site.mpi));
  return true;
}

}  // namespace

void check_site(Report& report, const cluster::Site& site, const fs::path& out, double seconds) {
  std::error_code ignored;
  const auto script = cluster::template_path(site);
  if (fs::exists(script, ignored))
    report.ok("template", script.string());
  else
    report.warn("template", fmt::format("{}: not there", script.string()),
                "launch.template: a file beside the site file, or leave it out");
  if (!check_plugin(report, site)) return;
  std::string problem;
  const std::int64_t ranks = site.launcher == "none" ? 1 : std::max<std::int64_t>(2, site.ranks);
  const double asked_at = unix_time();
  const auto probes = run_probes(site, out, ranks, 1, seconds, problem);
  const double answered_at = unix_time();
  judge_launch(report, site, probes, ranks, problem);
  if (probes.empty()) return;
  judge_threads(report, site, probes[0]);
  judge_binding(
      report, site, probes, "ranks of a task",
      "srun: launch.options [\"--cpu-bind=cores\"] and slurm.cpus_per_rank; mpirun: --bind-to none");
  judge_nodes(report, probes[0], asked_at, answered_at);
  judge_gpu(report, site, probes[0].at("gpu"));
  const auto two = run_probes(site, out, 1, 2, seconds, problem);
  if (two.size() == 2)  // each of one rank
    judge_binding(
        report, site, two, "tasks",
        "the scheduler does not confine tasks (TaskPlugin): mpirun --bind-to none, or srun --cpu-bind=none");
  else
    report.note("binding", fmt::format("two tasks at once could not be tried: {}", problem));
}

}  // namespace expunge::cli
