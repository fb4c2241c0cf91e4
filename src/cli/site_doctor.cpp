#include "cli/site_doctor.hpp"

#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "cluster/command.hpp"
#include "cluster/script.hpp"
#include "comm/gpu.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"

namespace expunge::cli {
namespace {

using nlohmann::json;

constexpr double kMostClockError = 5;  // seconds between nodes: claims go by the age of files
constexpr double kLeastSpace = 1e9;    // bytes
constexpr std::int64_t kProbeFloats = 1 << 18;

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

json own_cpus() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  ::sched_getaffinity(0, sizeof mask, &mask);
  json out = json::array();
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &mask)) out.push_back(cpu);
  return out;
}

// The folder of results as a node sees it: locks, clock of the file system, space.
json probe_folder(const fs::path& out) {
  json result = json::object();
  const fs::path probe = out / fmt::format("doctor.{}.{}", host_name(), ::getpid());
  try {
    make_folder(out);
    write_file_atomic(probe, "probe\n");
    struct stat info {};
    if (::stat(probe.c_str(), &info) == 0)
      result["skew"] = static_cast<double>(info.st_mtim.tv_sec) +
                       static_cast<double>(info.st_mtim.tv_nsec) * 1e-9 - unix_time();
    std::FILE* file = std::fopen(probe.c_str(), "r+");
    const bool locked = file && ::flock(::fileno(file), LOCK_EX | LOCK_NB) == 0;
    result["locks"] = locked ? "" : std::strerror(errno);
    if (file) std::fclose(file);
    fs::remove(probe);
    struct statvfs space {};
    if (::statvfs(out.c_str(), &space) == 0)
      result["free"] = static_cast<double>(space.f_bavail) * static_cast<double>(space.f_frsize);
  } catch (const std::exception& error) {
    result["problem"] = error.what();
  }
  return result;
}

// A real exchange of GPU memory between all ranks.
json probe_gpu(comm::Runtime& runtime) {
  std::string reason;
  const auto* gpu = comm::open_gpu_plugin(&reason);
  if (!gpu) return {{"none", reason}};
  try {
    gpu->use_device(runtime.local_rank() % gpu->device_count());
    const auto transport = comm::make_transport(runtime.world(), "auto", gpu);
    comm::OrderedSum sum(*transport, kProbeFloats, gpu->arithmetic());
    const auto start = std::chrono::steady_clock::now();
    sum.begin(runtime.world().size());
    sum.leaf();
    sum.push();
    sum.finish();
    gpu->synchronize(gpu->current_stream());
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    return {{"transport", transport->transport()},
            {"nccl", gpu->nccl_version},
            {"ms", ms},
            {"device", gpu->device(gpu->current_device()).name}};
  } catch (const Error& error) {
    return {{"problem", error.what()}};
  }
}

std::vector<std::string> allocation(const cluster::Site& site, std::int64_t ranks) {
  std::vector<std::string> out{fmt::format("--ntasks={}", ranks),
                               fmt::format("--cpus-per-task={}", site.cpus_per_rank), "--time=2"};
  for (const auto& [option, value] : {std::pair{"partition", site.partition},
                                      {"account", site.account},
                                      {"qos", site.qos},
                                      {"gres", site.gres},
                                      {"constraint", site.constraint},
                                      {"reservation", site.reservation},
                                      {"mem-per-cpu", site.memory_per_cpu}})
    if (!value.empty()) out.push_back(fmt::format("--{}={}", option, value));
  for (const auto& option : site.options) out.push_back(option);
  return out;
}

// The probe on the nodes, as a line of shell: what the batch script would do.
std::string probe_line(const cluster::Site& site, const fs::path& out, std::int64_t ranks) {
  std::vector<std::string> words;
  const std::string program = site.program.empty() ? program_path().string() : site.program;
  if (site.launcher == "mpirun") {
    words = {"salloc", "--quiet"};
    for (const auto& option : allocation(site, ranks)) words.push_back(option);
    for (const char* word : {"mpirun", "--quiet", "--bind-to", "none", "-n"}) words.emplace_back(word);
    words.push_back(std::to_string(ranks));
  } else {
    words = {"srun", "--quiet", "--mpi=" + (site.launcher == "none" ? "none" : site.mpi)};
    for (const auto& option : allocation(site, ranks)) words.push_back(option);
  }
  for (const auto& option : site.launcher_options) words.push_back(option);
  for (const auto& word :
       {program, std::string("doctor"), std::string("--probe"), std::string("--out"), out.string()})
    words.push_back(word);
  std::string line;
  for (const auto& word : words) line += cluster::shell_quoted(word) + " ";
  return line;
}

std::string set_up(const cluster::Site& site) {
  std::string out;
  for (const auto& [name, value] : site.environment)
    out += fmt::format("export {}={}\n", name, cluster::shell_quoted(value));
  for (const auto& module : site.modules) out += "module load " + module + "\n";
  for (const auto& line : site.setup) out += line + "\n";
  return out;
}

std::vector<json> probes_in(const std::string& text) {
  std::vector<json> out;
  for (const auto& line : split(text, '\n'))
    if (line.rfind("{\"probe\"", 0) == 0) out.push_back(json::parse(line, nullptr, false));
  return out;
}

std::vector<json> run_probes(const cluster::Site& site, const fs::path& out, std::int64_t ranks, int at_once,
                             double seconds, std::string& problem) {
  std::string script = set_up(site);
  for (int i = 0; i < at_once; ++i) script += probe_line(site, out, ranks) + "&\n";
  const auto result = cluster::run_command({"bash", "-c", script + "wait\n"}, seconds);
  problem = result.timed_out ? fmt::format("nothing came back in {}: no node is free, or the launcher hangs",
                                           human_seconds(seconds))
                             : result.message();
  return probes_in(result.out);
}

bool overlap(const json& a, const json& b) {
  std::set<int> mine;
  for (const auto& cpu : a) mine.insert(cpu.get<int>());
  return std::any_of(b.begin(), b.end(), [&](const json& cpu) { return mine.count(cpu.get<int>()) > 0; });
}

// Ranks on one node that were bound, but to the same CPUs.
bool bound_together(const json& a, const json& b) {
  return a.at("host") == b.at("host") && a.at("cpus").size() < a.at("machine").get<std::size_t>() &&
         overlap(a.at("cpus"), b.at("cpus")) && a.at("cpus").size() + b.at("cpus").size() > 0 &&
         a.at("cpus").size() < 2 * a.value("wanted", std::size_t{1});
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

void judge_binding(Report& report, const std::vector<json>& probes, const std::string& who,
                   const std::string& change) {
  std::vector<json> ranks;
  for (const auto& probe : probes)
    for (const auto& rank : probe.at("ranks")) ranks.push_back(rank);
  for (std::size_t i = 0; i < ranks.size(); ++i)
    for (std::size_t j = i + 1; j < ranks.size(); ++j)
      if (bound_together(ranks[i], ranks[j])) {
        report.warn("binding",
                    fmt::format("two {} on {} are bound to the same CPU {}", who,
                                ranks[i].at("host").get<std::string>(), ranks[i].at("cpus").dump()),
                    change);
        return;
      }
  report.ok("binding", fmt::format("no two {} share a CPU they are bound to", who));
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
  worst = std::max(worst, std::abs(folder.value("skew", 0.0)));
  if (worst > kMostClockError)
    report.warn("clock",
                fmt::format("clocks differ by {} (node {})", human_seconds(worst),
                            where.empty() ? "of the file system" : where),
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
  judge_binding(
      report, probes, "ranks of a task",
      "srun: launch.options [\"--cpu-bind=cores\"] and slurm.cpus_per_rank; mpirun: --bind-to none");
  judge_nodes(report, probes[0], asked_at, answered_at);
  judge_gpu(report, site, probes[0].at("gpu"));
  const auto two = run_probes(site, out, 1, 2, seconds, problem);
  if (two.size() == 2)
    judge_binding(
        report, two, "tasks",
        "the scheduler does not confine tasks (TaskPlugin): mpirun --bind-to none, or srun --cpu-bind=none");
  else
    report.note("binding", fmt::format("two tasks at once could not be tried: {}", problem));
}

void print_probe(comm::Runtime& runtime, const fs::path& out) {
  auto& world = runtime.world();
  const json mine{{"host", host_name()},
                  {"cpus", own_cpus()},
                  {"machine", ::sysconf(_SC_NPROCESSORS_ONLN)},
                  {"time", unix_time()}};
  const json gpu = probe_gpu(runtime);
  const std::string text = mine.dump();
  std::vector<std::size_t> sizes = world.all_gather_value(text.size());
  std::size_t total = 0;
  for (const auto size : sizes) total += size;
  std::string all(total, ' ');
  world.all_gather(text.data(), all.data(), sizes);
  if (world.rank() != 0) return;
  json ranks = json::array();
  std::size_t at = 0;
  for (const auto size : sizes) {
    ranks.push_back(json::parse(all.substr(at, size)));
    at += size;
  }
  nlohmann::ordered_json line;
  line["probe"] = 1;
  line["mpi"] = runtime.mpi_version();
  line["ranks"] = ranks;
  line["folder"] = probe_folder(out);
  line["gpu"] = gpu;
  fmt::print("{}\n", line.dump());
  std::fflush(stdout);
}

}  // namespace expunge::cli
