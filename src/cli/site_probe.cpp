#include "cli/site_probe.hpp"

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "cluster/command.hpp"
#include "comm/gpu.hpp"
#include "core/cpus.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"

namespace expunge::cli {
namespace {

using nlohmann::json;

constexpr std::int64_t kProbeFloats = 1 << 18;
constexpr int kGrace = 10;  // seconds for a launcher to end when told so

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
  if (site.nodes > 0 && ranks >= site.nodes) out.push_back(fmt::format("--nodes={}", site.nodes));
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

// MPI, which this process has started for itself, left names in the environment that say so: ranks under srun
// would take them for theirs.
constexpr const char* kForgetOwnMpi =
    "unset $(compgen -e | grep -E '^(PMIX_|ORTE_|OMPI_(COMM|APP|MCA_(ess|orte_|pmix)))') 2>/dev/null\n";

std::string set_up(const cluster::Site& site) {
  std::string out = kForgetOwnMpi;
  for (const auto& [name, value] : site.environment)
    out += fmt::format("export {}={}\n", name, cluster::shell_quoted(value));
  for (const auto& module : site.modules) out += "module load " + module + "\n";
  for (const auto& line : site.setup) out += line + "\n";
  return out;
}

std::vector<json> probes_in(const std::string& text) {
  std::vector<json> out;
  for (const auto& line : split(text, '\n'))
    if (auto probe = json::parse(line, nullptr, false); probe.is_object() && probe.contains("probe"))
      out.push_back(std::move(probe));
  return out;
}

}  // namespace

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::vector<json> run_probes(const cluster::Site& site, const fs::path& out, std::int64_t ranks, int at_once,
                             double seconds, std::string& problem) {
  // `timeout` tells the launcher, which then takes its job out of the queue.
  const auto limit = static_cast<std::int64_t>(std::ceil(seconds));
  std::string script = set_up(site);
  for (int i = 0; i < at_once; ++i)
    script += fmt::format("timeout -k {} {} {}&\n", kGrace, limit, probe_line(site, out, ranks));
  const double start = unix_time();
  const auto result = cluster::run_command({"bash", "-c", script + "wait\n"}, seconds + 2 * kGrace);
  problem = unix_time() - start >= seconds
                ? fmt::format("nothing came back in {}: no node is free, or the launcher hangs",
                              human_seconds(seconds))
                : result.message();
  return probes_in(result.out);
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
