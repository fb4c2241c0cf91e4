// doctor --site against a stand-in for srun that tells of clusters with something wrong.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "tests/cli/command.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;

// Two nodes of eight CPUs, two ranks on each, all as it should be.
json healthy() {
  json ranks = json::array();
  for (const char* host : {"n1", "n2"})
    for (int local : {0, 1})
      ranks.push_back(
          {{"host", host}, {"cpus", {2 * local, 2 * local + 1}}, {"machine", 8}, {"time", "NOW"}});
  return {{"probe", 1},
          {"mpi", "Open MPI 4.1.4"},
          {"ranks", ranks},
          {"folder", {{"skew", 0.01}, {"locks", ""}, {"free", 5e9}}},
          {"gpu", {{"none", "no driver"}}}};
}

struct SiteDoctor : testing::Test {
  SiteDoctor() {
    fs::create_directories(stub());
    write_site("");
  }
  fs::path stub() const { return folder.path() / "stub"; }
  void write_site(const std::string& more) const {
    std::ofstream(folder.path() / "site.toml") << "[slurm]\nranks = 4\ncpus_per_rank = 2\n" << more;
  }
  // A number stands where the node's clock shows it: the stub puts it there.
  static std::string line(const json& probe) {
    std::string text = probe.dump();
    for (std::size_t at; (at = text.find("\"NOW\"")) != std::string::npos;) text.replace(at, 5, "NOW");
    return text + "\n";
  }
  std::string doctor(const json& probe, const json& task = nullptr) const {
    std::ofstream(stub() / "probe") << line(probe);
    std::ofstream(stub() / "task") << line(task.is_null() ? one_rank({0, 1}) : task);
    return call().out;
  }
  CommandResult call() const {
    return run_command(
        {"doctor", "--site", (folder.path() / "site.toml").string(), "--out",
         (folder.path() / "out").string()},
        "STUB=" + quoted(stub().string()) +
            " ASAN_OPTIONS=detect_leaks=0 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PATH=" +
            quoted(std::string(EXPUNGE_SOURCE_DIR "/tests/cluster/stub:") + std::getenv("PATH")));
  }
  static json one_rank(const std::vector<int>& cpus) {
    json out = healthy();
    out["ranks"] = {{{"host", "n1"}, {"cpus", cpus}, {"machine", 8}, {"time", "NOW"}}};
    return out;
  }
  TemporaryFolder folder;
};

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(SiteDoctor, AHealthyCluster) {
  // Two tasks that the scheduler left unbound may share everything.
  const auto said = doctor(healthy(), one_rank({0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_SAYS(said, "ok     mpi       srun has the plugin pmix");
  EXPECT_SAYS(said, "ok     launch    srun: 4 ranks on n1, n2 in one world, Open MPI 4.1.4");
  EXPECT_SAYS(said, "ok     threads   every rank has the 2 CPUs it asks for");
  EXPECT_SAYS(said, "ok     binding   no two ranks of a task crowd a CPU they are bound to");
  EXPECT_SAYS(said, "ok     binding   no two tasks crowd a CPU they are bound to");
  EXPECT_SAYS(said, "ok     clock     nodes, file system and this machine agree");
  EXPECT_SAYS(said, "ok     locking   file locks work on the nodes");
  EXPECT_SAYS(said, "note   gpu       none on the nodes, none asked for");
}

TEST_F(SiteDoctor, RanksAndTasksOnTheSameCpus) {
  auto ranks = healthy();
  ranks["ranks"][1]["cpus"] = {0, 1};
  EXPECT_SAYS(doctor(ranks), "warn   binding   ranks of a task on n1 are bound to the same CPUs [0,1]");
  EXPECT_SAYS(doctor(healthy(), one_rank({0, 1})), "warn   binding   tasks on n1 are bound to the same CPUs");
  // A task's ranks may share what was given to the task as a whole.
  auto shared = healthy();
  shared["ranks"][0]["cpus"] = shared["ranks"][1]["cpus"] = {0, 1, 2, 3};
  EXPECT_SAYS(doctor(shared), "ok     binding   no two ranks of a task");
  auto few = healthy();
  few["ranks"][2]["cpus"] = {3};
  EXPECT_SAYS(doctor(few), "warn   threads   a rank on n2 may use 1 CPUs, slurm.cpus_per_rank asks for 2");
}

TEST_F(SiteDoctor, ClocksLocksAndSpace) {
  auto clock = healthy();
  clock["ranks"][3]["time"] = 1000;
  EXPECT_SAYS(doctor(clock), "warn   clock     the clock of n2 is off by ");
  auto file_system = healthy();
  file_system["folder"]["skew"] = -60;
  EXPECT_SAYS(doctor(file_system), "warn   clock     the clock of the results' file system is off by 60.0 s");
  auto locks = healthy();
  locks["folder"]["locks"] = "No locks available";
  EXPECT_SAYS(doctor(locks), "warn   locking   no file locks on the nodes: No locks available");
  auto space = healthy();
  space["folder"]["free"] = 1e6;
  EXPECT_SAYS(doctor(space), "warn   space     ");
  auto unwritable = healthy();
  unwritable["folder"] = {{"problem", "/x: cannot create folder"}};
  EXPECT_SAYS(doctor(unwritable), "warn   scratch   /x: cannot create folder");
}

TEST_F(SiteDoctor, LaunchersThatDoNotFit) {
  // Each rank a world of its own: the plugin does not speak with this MPI.
  std::string four;
  for (int i = 0; i < 4; ++i) four += line(one_rank({i}));
  std::ofstream(stub() / "probe") << four;
  EXPECT_SAYS(call().out, "warn   launch    4 ranks were started, and 4 worlds of 1 came to be");
  std::ofstream(stub() / "launch_error") << "srun: error: Unable to allocate resources: Invalid account\n";
  const auto refused = call();
  EXPECT_SAYS(refused.out, "srun did not start the ranks: srun: error: Unable to allocate resources");
  EXPECT_EQ(refused.exit_code, kExitNotAsAsked);
  write_site("[launch]\nmpi = \"pmxi\"\n");
  EXPECT_SAYS(call().out, "srun has no plugin \"pmxi\"; did you mean \"pmix\"?");
}

TEST_F(SiteDoctor, GpusAndTheirRing) {
  write_site("gres = \"gpu:2\"\n");
  EXPECT_SAYS(doctor(healthy()), "warn   gpu       the site asks for GPUs, the nodes say: no driver");
  auto ring = healthy();
  ring["gpu"] = {{"transport", "nccl"}, {"nccl", "2.28.9"}, {"ms", 3.25}, {"device", "H100"}};
  EXPECT_SAYS(doctor(ring), "ok     nccl      H100 over nccl: NCCL 2.28.9, an exchange of 1 MB took 3.2 ms");
  ring["gpu"] = {{"problem", "no interface"}};
  EXPECT_SAYS(doctor(ring), "warn   nccl      no interface");
}

TEST_F(SiteDoctor, WhatStandsOnStandardOutputBesideIsIgnored) {
  std::ofstream(stub() / "probe") << "Welcome\n{\"half\": \n" + line(healthy());
  std::ofstream(stub() / "task") << line(one_rank({0, 1, 2, 3}));
  EXPECT_SAYS(call().out, "ok     launch    srun: 4 ranks on n1, n2 in one world");
}

}  // namespace
}  // namespace expunge::test
