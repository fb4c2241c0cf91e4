// expunge doctor: does this machine have what a run needs? One line a finding, with what to change. Run it
// the way jobs are run (mpirun -n 4 expunge doctor): rank 0 reports for all.
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "cli/commands.hpp"
#include "cli/engine_entry.hpp"
#include "cli/report.hpp"
#include "cli/site_doctor.hpp"
#include "cli/site_probe.hpp"
#include "cluster/submit.hpp"
#include "comm/gpu.hpp"
#include "comm/runtime.hpp"
#include "core/build_info.hpp"
#include "core/cpus.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "data/dataset.hpp"
#include "store/store_file.hpp"

namespace expunge::cli {
namespace doctor_command {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string row; std::getline(in, row);)
    if (row.rfind("model name", 0) == 0) return row.substr(row.find(':') + 2);
  return "unknown processor";
}

// Every rank's CPUs: ranks that share too few run each other down.
void check_threads(Report& report, comm::Runtime& runtime) {
  const int allowed = static_cast<int>(own_cpus().size());
  const long machine = ::sysconf(_SC_NPROCESSORS_ONLN);
  const auto all = runtime.world().all_gather_value(allowed);
  const int local = runtime.local_ranks();
  const std::string found = fmt::format("{}; CPUs: {}, ranks on this node: {}, CPUs this rank may use: {}",
                                        cpu_model(), machine, local, allowed);
  if (local > 1 && allowed < machine && static_cast<long>(allowed) * local < std::min<long>(machine, local)) {
    report.warn(
        "threads", found,
        "give each rank a CPU of its own: mpirun --bind-to core or --bind-to none, srun --cpus-per-task");
  } else if (local > machine) {
    report.warn("threads", found, "start at most one rank a CPU; more only make every rank wait");
  } else {
    report.ok("threads", found);
  }
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    if (all[rank] != all[0]) {
      report.warn("affinity",
                  fmt::format("rank 0 may use {} CPUs, rank {} may use {}", all[0], rank, all[rank]),
                  "bind all ranks alike");
      break;
    }
  if (const char* threads = std::getenv("OMP_NUM_THREADS"); threads && std::strcmp(threads, "1") != 0)
    report.note("threads",
                fmt::format("OMP_NUM_THREADS={} is ignored: train.threads of the job decides", threads));
}

void check_mpi(Report& report, comm::Runtime& runtime, double start_seconds) {
  const std::string found = fmt::format("{}, ranks: {}, started in {}", runtime.mpi_version(),
                                        runtime.world().size(), human_seconds(start_seconds));
  if (start_seconds > 10) {
    report.warn(
        "mpi", found,
        "slow start: look at the network interfaces MPI tries (Open MPI: --mca btl self,vader on one node)");
  } else {
    report.ok("mpi", found);
  }
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) runtime.world().barrier();
  const double barrier = seconds_since(start) / 100;
  if (runtime.world().size() > 1 && barrier > 1e-3) {
    report.warn("mpi", fmt::format("a barrier takes {:.1f} ms", barrier * 1e3),
                "ranks share CPUs, or the network is slow: fewer ranks a node, or another transport");
  }
}

// Locks, durable writes and a store written and read back, in the folder where results go.
void check_output(Report& report, const fs::path& out) {
  make_folder(out);
  const fs::path probe = out / fmt::format("doctor.{}.{}", host_name(), ::getpid());
  const auto start = std::chrono::steady_clock::now();
  write_file_atomic(probe, "probe\n");
  const double durable = seconds_since(start);
  {
    std::FILE* file = std::fopen(probe.c_str(), "r+");
    const bool locked = file && ::flock(::fileno(file), LOCK_EX | LOCK_NB) == 0;
    const std::string reason = locked ? "" : std::strerror(errno);
    if (file) std::fclose(file);
    if (locked) {
      report.ok("locking", fmt::format("file locks work in {}", out.string()));
    } else {
      report.warn("locking", fmt::format("no file locks in {}: {}", out.string(), reason),
                  "export HDF5_USE_FILE_LOCKING=FALSE, or use another folder");
    }
  }
  fs::remove(probe);
  if (durable > 0.5) {
    report.warn("fsync", fmt::format("a durable write takes {}", human_seconds(durable)),
                "stores will be slow to publish: use a faster file system for --out");
  } else {
    report.ok("fsync", fmt::format("a durable write takes {}", human_seconds(durable)));
  }
  store::Record record;
  record.id = record.key = "doctor";
  record.row_names = {"probe"};
  record.row = {0.5};
  const fs::path store = probe.string() + ".h5";
  store::write_record(store, record);
  const auto read = store::read_record(store);
  fs::remove(store);
  if (read.row == record.row) {
    report.ok("hdf5", "a store was written, checked and read back");
  } else {
    report.warn("hdf5", "a store read back differs from what was written",
                "this file system or this HDF5 damages data: use another");
  }
}

void check_space(Report& report, const std::string& what, fs::path folder, double needed) {
  while (!folder.empty() && !fs::exists(folder)) folder = folder.parent_path();
  struct statvfs info {};
  if (folder.empty()) folder = ".";
  if (::statvfs(folder.c_str(), &info) != 0) return;
  const double free = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
  const std::string found = fmt::format("{} free for {} ({})", human_bytes(free), what, folder.string());
  if (free < needed) {
    report.warn("space", found, fmt::format("make room: at least {}", human_bytes(needed)));
  } else {
    report.ok("space", found);
  }
}

void check_gpu(Report& report) {
  std::string reason;
  const comm::GpuPlugin* plugin = comm::open_gpu_plugin(&reason);
  if (!plugin) {
    const bool driver = fs::exists("/proc/driver/nvidia/version");
    if (driver) {
      report.warn("gpu", fmt::format("a driver is there, but: {}", reason),
                  "build with CUDA and NCCL (launch/setup.sh --cuda), or ignore this on CPU nodes");
    } else {
      report.note("gpu", fmt::format("none: {}", reason));
    }
    return;
  }
  for (int i = 0; i < plugin->device_count(); ++i) {
    const auto device = plugin->device(i);
    report.ok("gpu", fmt::format("{}: {}, {} of {} free; NCCL {}", i, device.name,
                                 human_bytes(static_cast<double>(device.free_bytes)),
                                 human_bytes(static_cast<double>(device.total_bytes)), plugin->nccl_version));
  }
}

void check_engine(Report& report) {
  const std::string problem = engine_problem();
  if (problem.empty()) {
    report.ok("engine", fmt::format("LibTorch {}", build_info::kTorchVersion));
  } else {
    report.warn("engine", problem,
                "check, plan, reduce and board work; for run, build with LibTorch (launch/setup.sh)");
  }
}

// Runs one check; what it throws is a finding.
template <class Check>
void guarded(Report& report, const char* what, const char* change, Check&& check) {
  try {
    check();
  } catch (const CommError&) {
    throw;
  } catch (const std::exception& error) {
    report.warn(what, error.what(), change);
  }
}

int run(Args& args) {
  const std::string site_file = args.option("--site", "SITE.toml", "",
                                            "look at this cluster, too: starts jobs of seconds on its nodes");
  const std::string given = args.option(
      "--out", "DIR", "", "folder where results will go (default: the site's scratch folder, else results)");
  const double patience =
      args.number("--wait", "SECONDS", 120, "with --site: how long a job may wait for a node");
  const bool probe = args.flag("--probe", "print what the ranks see of their nodes, as JSON");
  args.finish();
  const auto site = site_file.empty() ? cluster::Site{} : cluster::read_site(site_file);
  const fs::path out = cluster::output_folder(given, site);
  const bool had_out = fs::exists(out);
  const auto start = std::chrono::steady_clock::now();
  comm::Runtime runtime(nullptr, nullptr, 0);
  const double start_seconds = seconds_since(start);
  const bool root = runtime.world().rank() == 0;
  if (probe) {
    print_probe(runtime, out);
    runtime.finish();
    return kExitOk;
  }
  Report report(root);
  if (root) fmt::print("{} on {}\n", build_info::one_line(), host_name());
  check_mpi(report, runtime, start_seconds);
  check_threads(report, runtime);
  if (root) {
    guarded(report, "output", "use another --out folder", [&] { check_output(report, out); });
    check_space(report, "results", fs::absolute(out), 1e9);
    check_space(report, "the data cache", data::cache_folder(), 1e9);
    check_space(report, "MPI's shared memory", "/dev/shm", 64e6);
    check_engine(report);
    check_gpu(report);
    if (!site_file.empty()) check_site(report, site, fs::absolute(out), patience);
    fmt::print("{}\n",
               report.findings() == 0 ? "nothing to change" : fmt::format("{} to change", report.findings()));
    std::error_code ignored;
    if (!had_out) fs::remove(out, ignored);  // only when empty
  }
  runtime.finish();
  return report.findings() == 0 ? kExitOk : kExitNotAsAsked;
}

const RegisterCommand entry{"doctor", "does this machine have what a run needs", run};

}  // namespace doctor_command
}  // namespace expunge::cli
