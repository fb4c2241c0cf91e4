// What sweeps on a cluster cost beside their work:
//
//   build/bin/cluster_bench submit    submit of 15,049 cells and status with 10,000 stores, against a
//   stand-in
//                                     for Slurm (tests/cluster/stub)
//   build/bin/cluster_bench packed    64 tiny cells, one after the other, on a real Slurm of four emulated
//                                     nodes (tests/cluster/cluster.sh, needs root): from submit to the empty
//                                     queue, less the cells' own times
//
// Prints seconds. No test: they depend on the machine.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "cluster/command.hpp"
#include "core/error.hpp"
#include "store/store_file.hpp"
#include "sweep/sweep.hpp"
#include "tests/cli/command.hpp"

namespace expunge::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kStores = 10'000;
constexpr int kTinyCells = 64;
constexpr double kPatience = 900;  // seconds

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Runs the program; its seconds. Ends everything when it does not do what it should.
double timed(const std::vector<std::string>& words, const std::string& environment) {
  const auto start = Clock::now();
  const auto result = run_command(words, environment);
  const double seconds = since(start);
  if (result.exit_code != 0) throw InternalError(fmt::format("{}: {}", words[0], result.err));
  return seconds;
}

std::string numbers(int count, double step) {
  std::string out;
  for (int i = 1; i <= count; ++i) out += fmt::format("{}{}", i > 1 ? ", " : "", step * i);
  return "[" + out + "]";
}

// As large as a real cell's.
store::Record record_of(const sweep::Cell& cell) {
  store::Record r;
  r.id = cell.id, r.key = cell.key, r.dataset = cell.dataset, r.model = cell.model, r.method = cell.method;
  for (int c = 0; c < 30; ++c) {
    r.row_names.push_back(fmt::format("column_{}", c));
    r.row.push_back(std::sin(c));
  }
  for (const char* split : {"forget", "retain", "test"})
    r.splits[split] = {1000, 900, 10, 12.5, std::vector<std::int64_t>(100, 7)};
  for (int k = 0; k < 40; ++k) r.config["settings"][fmt::format("setting_{}", k)] = k;
  r.timing = {{"wall", 2.0}};
  return r;
}

void measure_submit() {
  const TemporaryFolder folder;
  const auto file = [&](const char* name) { return (folder.path() / name).string(); };
  std::ofstream(file("job.toml"))
      << "[sweep]\nname = \"large\"\ndataset = [\"fashion_mnist\"]\nmodel = [\"resnet8\"]\nmethod = "
         "[\"retrain\", \"finetune\", \"neggrad\", \"neggrad_plus\", \"rand_label\", \"bad_t\", \"scrub\", "
         "\"salun\"]\nratio = "
      << numbers(11, 0.01) << "\nseed = " << numbers(171, 1)
      << "\ninclude = [{ dataset = \"fashion_mnist\", model = \"resnet8\", method = \"scrub\", ratio = 0.5, "
         "seed = 1 }]\n";
  std::ofstream(file("site.toml")) << "[limits]\nmax_array_size = 1001\n";
  fs::create_directories(file("stub"));
  const std::string environment =
      "STUB=" + quoted(file("stub")) +
      " PATH=" + quoted(std::string(EXPUNGE_SOURCE_DIR "/tests/cluster/stub:") + std::getenv("PATH"));
  const auto words = [&](const char* command, const std::string& out) {
    return std::vector<std::string>{command, file("job.toml"), "--site", file("site.toml"), "--out", out};
  };
  const auto plan = sweep::load(file("job.toml"));
  fmt::print("submit of {} cells, packed            {:.2f} s\n", plan.cells.size(),
             timed(words("submit", file("packed")), environment));
  std::ofstream(file("site.toml")) << "[limits]\nmax_array_size = 1001\n[tasks]\nminutes = 0.001\n";
  fmt::print("submit of {} cells, one a task        {:.2f} s\n", plan.cells.size(),
             timed(words("submit", file("single")), environment));
  for (const char* out : {"packed", "single"}) {
    const sweep::Layout layout{fs::path(file(out)) / plan.name};
    for (std::size_t i = 0; i < kStores; ++i) {
      const auto path = layout.cell_store(plan.cells[i].id);
      fs::create_directories(path.parent_path());
      store::write_record(path, record_of(plan.cells[i]));
    }
    fmt::print("status of it with {} stores, {}   {:.2f} s\n", kStores, out,
               timed(words("status", file(out)), environment));
  }
}

void shell(const std::string& line) {
  const auto result = cluster::run_command({"bash", "-c", line}, kPatience);
  if (!result.ok()) throw InternalError(fmt::format("{}: {}", line, result.message()));
}

// A Slurm of four emulated nodes while it lives.
class Lab {
 public:
  explicit Lab(const fs::path& folder) : folder_(folder) {
    fs::permissions(folder.parent_path(), fs::perms::others_exec | fs::perms::group_exec,
                    fs::perm_options::add);  // for munge
    shell(kScript + " up " + folder_.string() + " 4 2");
    ::setenv("SLURM_CONF", (folder_ / "slurm.conf").c_str(), 1);
  }
  ~Lab() { cluster::run_command({"bash", "-c", kScript + " down " + folder_.string()}, kPatience); }
  Lab(const Lab&) = delete;
  Lab& operator=(const Lab&) = delete;

 private:
  const std::string kScript = EXPUNGE_SOURCE_DIR "/tests/cluster/cluster.sh";
  fs::path folder_;
};

void measure_packed() {
  const TemporaryFolder folder;
  const auto file = [&](const char* name) { return (folder.path() / name).string(); };
  ::setenv("EXPUNGE_DATA_ROOT", EXPUNGE_SOURCE_DIR "/data/samples", 1);
  ::setenv("EXPUNGE_CACHE", file("cache").c_str(), 1);
  std::ofstream(file("job.toml"))
      << "[sweep]\nname = \"tiny\"\ndataset = [\"fashion_mnist\"]\nmodel = [\"resnet8\"]\nmethod = "
         "[\"finetune\", \"scrub\"]\nratio = [0.05, 0.1]\nseed = "
      << numbers(kTinyCells / 4, 1)
      << "\n[data]\ntrain_limit = 160\ntest_limit = 80\n[original]\nepochs = 1\nbatch = 32\n[train]\nepochs "
         "= "
         "1\nbatch = 32\n[evaluate]\nrandom_networks = 1\n";
  std::ofstream(file("site.toml")) << "[slurm]\ntime_limit = \"10\"\nsignal_before_end = 60\n";
  const Lab lab(folder.path() / "lab");
  const auto start = Clock::now();
  timed({"submit", file("job.toml"), "--site", file("site.toml"), "--out", file("out")}, "");
  shell("while [[ -n $(squeue -h) ]]; do sleep 0.1; done");
  const double elapsed = since(start);
  const auto plan = sweep::load(file("job.toml"));
  const sweep::Layout layout{fs::path(file("out")) / plan.name};
  double own = store::read_row(layout.original_store(plan.originals.at(0).id)).timing.at("wall");
  for (const auto& cell : plan.cells) own += store::read_row(layout.cell_store(cell.id)).timing.at("wall");
  fmt::print(
      "{} tiny cells: {:.1f} s from submit to the empty queue, {:.1f} s of their own and their original's; "
      "{:.2f} s a cell beside\n",
      plan.cells.size(), elapsed, own, (elapsed - own) / static_cast<double>(plan.cells.size()));
}

int run(const std::string& what) {
  if (what != "submit" && what != "packed") {
    fmt::print(stderr, "usage: cluster_bench submit|packed\n");
    return kExitUsage;
  }
  try {
    what == "submit" ? measure_submit() : measure_packed();
    return kExitOk;
  } catch (const std::exception& error) {
    fmt::print(stderr, "cluster_bench: {}\n", error.what());
    return kExitInternal;
  }
}

}  // namespace
}  // namespace expunge::test

int main(int argc, char** argv) { return expunge::test::run(argc == 2 ? argv[1] : ""); }
