// Sweeps on a real Slurm of four emulated nodes: killed ranks, time limits, a node that goes down, a
// controller that is killed. Skipped where tests/cluster/cluster.sh cannot start one.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "board/board.hpp"
#include "cluster/command.hpp"
#include "core/text.hpp"
#include "store/store_file.hpp"
#include "tests/cli/command.hpp"

namespace expunge::test {
namespace {

using cluster::run_command;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr double kPatience =
    900;  // seconds that anything may take on a busy machine; nothing waits that long by design

const std::string kCluster = EXPUNGE_SOURCE_DIR "/tests/cluster/cluster.sh";

cluster::CommandResult shell(const std::string& line) { return run_command({"bash", "-c", line}, kPatience); }

// The cluster of this binary, started once.
struct Lab {
  std::string problem;
  std::unique_ptr<TemporaryFolder> folder;
  Lab() {
    const auto check = shell(kCluster + " check");
    if (check.exit_code != 0) {
      problem = "no test cluster here: " + check.message();
      return;
    }
    folder = std::make_unique<TemporaryFolder>();
    fs::permissions(folder->path(), fs::perms::others_exec | fs::perms::group_exec,
                    fs::perm_options::add);  // munge lives below it
    const auto up = shell(kCluster + " up " + path() + " 4 2");
    if (up.exit_code != 0) problem = "the test cluster did not start: " + up.message();
    ::setenv("SLURM_CONF", (path() + "/slurm.conf").c_str(), 1);
  }
  ~Lab() {
    if (folder) shell(kCluster + " down " + path());
  }
  std::string path() const { return (folder->path() / "lab").string(); }
};

struct Slurm : testing::Test {
  static void SetUpTestSuite() { lab = new Lab; }
  static void TearDownTestSuite() {
    delete lab;
    lab = nullptr;
  }
  void SetUp() override {
    if (!lab->problem.empty()) GTEST_SKIP() << lab->problem;
    ::setenv("EXPUNGE_DATA_ROOT", EXPUNGE_SOURCE_DIR "/data/samples", 1);
    ::setenv("EXPUNGE_CACHE", (folder.path() / "cache").c_str(), 1);
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    ::setenv("OMPI_MCA_mpi_yield_when_idle", "1", 1);
    fs::permissions(folder.path(), fs::perms::others_all, fs::perm_options::add);
  }
  void TearDown() override {
    if (lab->problem.empty()) shell("scancel -u $(id -un); while [[ -n $(squeue -h) ]]; do sleep 0.2; done");
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder.path() / name) << text;
  }
  std::string file(const std::string& name) const { return (folder.path() / name).string(); }
  fs::path root(const std::string& out = "out") const { return folder.path() / out / "tiny"; }
  CommandResult expunge(const std::string& command, std::vector<std::string> more = {}) const {
    std::vector<std::string> words{command,           file("job.toml"), "--site",
                                   file("site.toml"), "--out",          file("out")};
    words.insert(words.end(), more.begin(), more.end());
    return test::run_command(words);
  }
  json status() const {
    const auto result = expunge("status", {"--json"});
    return result.exit_code == 0 ? json::parse(result.out) : json{{"error", result.err}};
  }
  template <class Done>
  bool wait_for(Done&& done, double seconds = kPatience) const {
    const auto end =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    while (Clock::now() < end) {
      if (done()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
    }
    return false;
  }
  bool wait_for_empty_queue() const {
    return wait_for([] {
      const auto queue = shell("squeue -h");
      return queue.exit_code == 0 && queue.out.empty();
    });
  }
  // Where a job runs now; none when it does not.
  std::set<std::string> nodes_of(const std::string& job) const {
    std::set<std::string> out;
    for (const auto& name :
         split(shell("scontrol show hostnames \"$(squeue -h -t RUNNING -j " + job + " -o %N)\"").out, '\n'))
      if (!name.empty()) out.insert(name);
    return out;
  }
  // Everything that could explain a failure.
  std::string story() const {
    return expunge("status").out +
           shell("squeue; sinfo -N; tail -n 4 " + (root() / "logs").string() + "/*").out;
  }
  std::string board_of(const fs::path& folder_of_sweep) const {
    test::run_command({"reduce", folder_of_sweep.string()});
    return board::science_sha256(board::read_board(folder_of_sweep / "board.h5"));
  }
  std::string undisturbed() const {
    const auto result =
        test::run_command({"run", file("job.toml"), "--out", file("plain"), "--ranks-per-cell", "1"},
                          "env -u SLURM_CONF mpirun --quiet --oversubscribe --bind-to none -n 2");
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return board_of(root("plain"));
  }
  // Four cells a method and original seed.
  void write_job(const std::string& methods, const std::string& more,
                 const std::string& originals = "[1, 2]") const {
    write("job.toml",
          "[sweep]\nname = \"tiny\"\ndataset = [\"fashion_mnist\"]\nmodel = [\"resnet8\"]\nmethod = [" +
              methods +
              "]\nratio = [0.05, 0.1]\nseed = [1, 2]\n[data]\ntrain_limit = 160\ntest_limit = "
              "80\n[original]\nseed = " +
              originals + "\nepochs = 1\nbatch = 32\n[evaluate]\nrandom_networks = 1\n" + more);
  }
  static inline Lab* lab = nullptr;
  TemporaryFolder folder;
};

TEST_F(Slurm, SurvivesEverythingAndLosesNothing) {
  write_job(R"("finetune", "neggrad_plus", "scrub")",
            "[train]\nepochs = 2\nbatch = 32\n[run]\nstall_seconds = 600\ncheckpoint_steps = 3\n");
  // Six tasks of four cells, each over two nodes. The first loses a rank, the second hangs until its time
  // limit, the third hangs until its node goes down.
  write("site.toml", R"([slurm]
ranks = 2
nodes = 2
time_limit = "1"
signal_before_end = 20
[tasks]
minutes = 0.7
gflops = 1000
cell_seconds = 7
ranks_per_cell = 2
[launch]
setup = ["fault() { [[ $chunk.$task == $1 && $restart == 0 && $folder == *0001 ]] && export EXPUNGE_FAULT=$2; }",
         "fault cells.0.0 rank:1,step:4,kind:kill", "fault cells.0.1 rank:0,step:4,kind:hang", "fault cells.0.2 rank:0,step:4,kind:hang"]
)");
  const auto sent = expunge("submit");
  ASSERT_EQ(sent.exit_code, 0) << sent.err;
  const auto record = json::parse(read_file(root() / "slurm/0001/submission.json"));
  ASSERT_EQ(record.at("chunks")[1].at("tasks"), 6) << record;
  const std::string job = record.at("chunks")[1].at("job");

  // The controller is killed and comes back while jobs run. What changed in its last five seconds may be lost
  // to it then; here it has that time.
  ASSERT_TRUE(wait_for([&] { return fs::exists(root() / "slurm/0001/ended/cells.0.0.json"); })) << story();
  std::this_thread::sleep_for(std::chrono::seconds(8));
  ASSERT_EQ(shell(kCluster + " restart " + lab->path()).exit_code, 0);
  // A node of the third task goes down: not one of the second, which would get a new start by it.
  ASSERT_TRUE(wait_for([&] { return !nodes_of(job + "_2").empty() && !fs::is_empty(root() / "claims"); }))
      << story();
  std::string node;
  const auto others = nodes_of(job + "_1");
  for (const auto& name : nodes_of(job + "_2"))
    if (!others.count(name)) node = name;
  ASSERT_FALSE(node.empty()) << story();
  ASSERT_EQ(shell("scontrol update nodename=" + node + " state=down reason=test").exit_code, 0);
  ASSERT_TRUE(wait_for([&] { return nodes_of(job + "_2").empty(); })) << story();
  // Refused while the job's end is still being cleared away, and by a node that came back on its own.
  ASSERT_TRUE(wait_for([&] {
    return shell("scontrol update nodename=" + node + " state=resume").exit_code == 0 ||
           shell("sinfo -h -n " + node + " -o %t | grep -qE '^(idle|mix|alloc)'").exit_code == 0;
  })) << story();
  const std::string expected = undisturbed();  // while the second task stands still
  ASSERT_TRUE(wait_for_empty_queue()) << story();

  // One store is cut on disk.
  fs::path cut;
  for (const auto& f : fs::recursive_directory_iterator(root() / "cells"))
    if (f.path().extension() == ".h5") cut = f.path();
  ASSERT_FALSE(cut.empty()) << story();
  fs::resize_file(cut, fs::file_size(cut) / 2);

  const auto before = status();
  EXPECT_EQ(before.at("counts").at("corrupt"), 1) << story();
  EXPECT_GE(before.at("counts").at("timed_out").get<int>(), 1) << story();
  std::string reasons;
  for (const auto& cell : before.at("cells")) reasons += cell.value("reason", "") + "\n";
  EXPECT_NE(reasons.find("killed"), std::string::npos) << reasons;
  EXPECT_NE(reasons.find("reached its time limit"), std::string::npos) << reasons;
  EXPECT_LT(before.at("counts").at("done").get<int>(), 24);

  const auto again = expunge("resubmit");
  ASSERT_EQ(again.exit_code, 0) << again.err;
  ASSERT_TRUE(wait_for_empty_queue()) << story();
  const auto after = status();
  EXPECT_EQ(after.at("counts").at("done"), 24) << story();
  for (const auto& cell : after.at("cells")) EXPECT_EQ(cell.value("outcome", ""), "ok") << cell;
  EXPECT_TRUE(fs::exists(root() / "board.h5"));  // by the reducer's job
  EXPECT_EQ(board_of(root()), expected);
}

TEST_F(Slurm, ASignalCheckpointsAndTheTaskPutsItselfBack) {
  write_job(R"("finetune")", "[train]\nepochs = 20\nbatch = 32\n[run]\ncheckpoint_steps = 1\n", "[1]");
  const std::string expected = undisturbed();
  for (const std::string launcher : {"srun", "mpirun"}) {
    SCOPED_TRACE(launcher);
    fs::remove_all(folder.path() / "out");
    write("site.toml",
          "[slurm]\nranks = 2\ntime_limit = \"10\"\nsignal_before_end = 60\n[tasks]\nminutes = "
          "60\nranks_per_cell = 2\n[launch]\nlauncher = \"" +
              launcher + "\"\n");
    ASSERT_EQ(expunge("submit").exit_code, 0);
    const std::string job =
        json::parse(read_file(root() / "slurm/0001/submission.json")).at("chunks")[1].at("job");
    ASSERT_TRUE(wait_for([&] {
      return fs::exists(root() / "checkpoints") && !fs::is_empty(root() / "checkpoints") &&
             !shell("squeue -h -t RUNNING -j " + job).out.empty();
    })) << story();
    // As --signal does before the time limit: to the ranks under srun, to the shell else.
    ASSERT_EQ(shell("scancel " + std::string(launcher == "srun" ? "" : "-b ") + "-s USR1 " + job).exit_code,
              0);
    ASSERT_TRUE(wait_for_empty_queue()) << story();
    const auto log = shell("cat " + (root() / "logs").string() + "/0001.cells.0.*").out;
    EXPECT_NE(log.find("restart 1,"), std::string::npos) << log;
    EXPECT_NE(log.find("resuming at step"), std::string::npos) << log;
    EXPECT_EQ(status().at("counts").at("done"), 4) << story();
    EXPECT_EQ(board_of(root()), expected);
  }
}

TEST_F(Slurm, WithoutRequeueStatusListsAndResubmitSends) {
  write_job(R"("finetune")", "[train]\nepochs = 20\nbatch = 32\n[run]\ncheckpoint_steps = 1\n", "[1]");
  write("site.toml",
        "[slurm]\nranks = 2\nrequeue = false\ntime_limit = \"10\"\nsignal_before_end = 60\n[tasks]\nminutes "
        "= 60\nranks_per_cell = 2\n");
  ASSERT_EQ(expunge("submit").exit_code, 0);
  const std::string job =
      json::parse(read_file(root() / "slurm/0001/submission.json")).at("chunks")[1].at("job");
  ASSERT_TRUE(wait_for([&] {
    return fs::exists(root() / "checkpoints") && !fs::is_empty(root() / "checkpoints") &&
           !shell("squeue -h -t RUNNING -j " + job).out.empty();
  })) << story();
  ASSERT_EQ(shell("scancel -s USR1 " + job).exit_code, 0);
  ASSERT_TRUE(wait_for_empty_queue()) << story();
  const auto before = status();
  EXPECT_GE(before.at("counts").at("timed_out").get<int>(), 1) << story();
  EXPECT_NE(expunge("status").out.find("checkpointed at its time limit, and was not put back into the queue"),
            std::string::npos)
      << story();
  ASSERT_EQ(expunge("resubmit").exit_code, 0);
  ASSERT_TRUE(wait_for_empty_queue()) << story();
  EXPECT_EQ(status().at("counts").at("done"), 4) << story();
  EXPECT_EQ(board_of(root()), undisturbed());
}

TEST_F(Slurm, CellsWithoutTheirOriginalSay66AndResubmitSendsIt) {
  write_job(R"("finetune", "scrub")", "[train]\nepochs = 1\nbatch = 32\n");
  write("site.toml", R"([slurm]
ranks = 2
time_limit = "10"
signal_before_end = 60
[launch]
setup = ["if [[ $chunk.$task == originals.0.0 && $folder == *0001 ]]; then export EXPUNGE_FAULT=rank:0,step:2,kind:throw; fi"]
)");
  ASSERT_EQ(expunge("submit").exit_code, 0);
  ASSERT_TRUE(wait_for_empty_queue()) << story();
  const auto before = status();
  EXPECT_EQ(before.at("counts").at("failed"), 8) << story();  // of the original that failed
  EXPECT_EQ(before.at("counts").at("done"), 8) << story();
  std::string ended;
  for (const auto& f : fs::directory_iterator(root() / "slurm/0001/ended"))
    if (f.path().extension() == ".json") ended += read_file(f.path());
  EXPECT_NE(ended.find("\"exit\": 66"), std::string::npos) << ended;
  EXPECT_NE(ended.find("\"exit\": 70"), std::string::npos) << ended;
  EXPECT_NE(before.at("originals").dump().find("EXPUNGE_FAULT: throw at step 2"), std::string::npos)
      << before.at("originals");
  ASSERT_EQ(expunge("resubmit").exit_code, 0);
  ASSERT_TRUE(wait_for_empty_queue()) << story();
  EXPECT_EQ(status().at("counts").at("done"), 16) << story();
  EXPECT_EQ(board_of(root()), undisturbed());
}

TEST_F(Slurm, CancelEndsRunningTasksForGood) {
  write_job(R"("finetune")", "[train]\nepochs = 40\nbatch = 32\n[run]\ncheckpoint_steps = 1\n");
  write("site.toml",
        "[slurm]\nranks = 1\ntime_limit = \"10\"\nsignal_before_end = 60\n[tasks]\nminutes = 60\n");
  ASSERT_EQ(expunge("submit").exit_code, 0);
  ASSERT_EQ(shell("sbatch --parsable -J other --wrap 'sleep 300'").exit_code, 0);
  ASSERT_TRUE(wait_for([&] {
    return fs::exists(root() / "checkpoints") && !fs::is_empty(root() / "checkpoints");
  })) << story();
  ASSERT_EQ(expunge("cancel").exit_code, 0);
  ASSERT_TRUE(wait_for([] { return shell("squeue -h -o %j").out == "other\n"; }, 120)) << story();
  std::this_thread::sleep_for(std::chrono::seconds(8));  // longer than a requeued job waits here
  EXPECT_EQ(shell("squeue -h -o %j").out, "other\n");
  shell("scancel -n other");
}

TEST_F(Slurm, DoctorLooksAtTheSite) {
  write("site.toml", "[slurm]\nranks = 2\nnodes = 2\n");
  const auto good = test::run_command({"doctor", "--site", file("site.toml"), "--out", file("out")});
  for (const char* line :
       {"srun has the plugin pmix", "2 ranks on n", "in one world", "file locks work on the nodes", "agree"})
    EXPECT_NE(good.out.find(line), std::string::npos) << line << "\n" << good.out;
  write("site.toml", "[slurm]\nranks = 2\n[launch]\nmpi = \"pmi2\"\n");
  const auto mismatch = test::run_command({"doctor", "--site", file("site.toml"), "--out", file("out")});
  EXPECT_EQ(mismatch.exit_code, 1);
  EXPECT_NE(mismatch.out.find("warn   launch"), std::string::npos) << mismatch.out;
  write("site.toml", "[slurm]\nranks = 2\n[launch]\nmpi = \"pmxi\"\n");
  const auto misspelt = test::run_command({"doctor", "--site", file("site.toml"), "--out", file("out")});
  EXPECT_NE(misspelt.out.find("did you mean \"pmix\"?"), std::string::npos) << misspelt.out;
}

// The commands of the README's chapter, as they stand there.
TEST_F(Slurm, TheChapterOfTheReadmeWorks) {
  // As its reader: with the whole data set, from where it is looked for by itself.
  ::unsetenv("EXPUNGE_DATA_ROOT");
  ::unsetenv("EXPUNGE_CACHE");
  for (const auto& set : json::parse(test::run_command({"data", "list", "--json"}).out))
    if (set.at("name") == "fashion_mnist" && !set.at("available").get<bool>())
      GTEST_SKIP() << "Fashion-MNIST is not here: expunge data fetch fashion_mnist";
  const std::string readme = read_file(EXPUNGE_SOURCE_DIR "/README.md");
  const auto chapter = readme.find("\n## On a Slurm cluster\n");
  ASSERT_NE(chapter, std::string::npos);
  const auto begin = readme.find("\n```\n", chapter) + 5, end = readme.find("\n```\n", begin);
  int commands = 0;
  for (const auto& line : split(readme.substr(begin, end - begin), '\n')) {
    const auto result = shell("cd " + folder.path().string() +
                              " && ln -sfn " EXPUNGE_SOURCE_DIR "/jobs jobs && ln -sfn " EXPUNGE_SOURCE_DIR
                              "/slurm slurm && export PATH=$(dirname " EXPUNGE_BINARY "):$PATH && " +
                              line);
    // doctor may have something to say about a test machine.
    EXPECT_TRUE(result.exit_code == 0 || (result.exit_code == 1 && line.find("doctor") != line.npos))
        << line << "\n"
        << result.out << result.err;
    ++commands;
    if (line.find("status") != line.npos) {
      ASSERT_TRUE(wait_for_empty_queue());
    }
  }
  EXPECT_EQ(commands, 7);
  const auto table =
      shell("cd " + folder.path().string() + " && " EXPUNGE_BINARY " status jobs/invariance.toml --json").out;
  const auto counts = json::parse(table).at("counts");
  EXPECT_EQ(counts.at("done"), json::parse(table).at("cells").size()) << table;
}

TEST_F(Slurm, TheSameSweepMovesBetweenClusterAndMachine) {
  write_job(R"("finetune", "scrub")", "[train]\nepochs = 1\nbatch = 32\n");
  write("site.toml", "[slurm]\nranks = 2\ntime_limit = \"10\"\nsignal_before_end = 60\n");
  const auto half = test::run_command({"run", file("job.toml"), "--out", file("out"), "--cells", "0-6"});
  ASSERT_EQ(half.exit_code, 0) << half.err;
  ASSERT_EQ(expunge("submit").exit_code, 0);
  std::set<std::string> sent;
  for (const auto& line : split(read_file(root() / "slurm/0001/cells.0.tasks"), '\n'))
    for (const auto& id : split(line, ',')) sent.insert(id);
  sent.erase("");
  EXPECT_EQ(sent.size(), 16u - 7);
  ASSERT_EQ(expunge("cancel").exit_code, 0);
  ASSERT_TRUE(wait_for_empty_queue());
  const auto local =
      shell(std::string("EXPUNGE=") + EXPUNGE_BINARY + " " EXPUNGE_SOURCE_DIR "/launch/local.sh " +
            file("job.toml") + " --out " + file("out") + " --tasks 2");
  EXPECT_EQ(local.exit_code, 0) << local.out << local.err;
  EXPECT_EQ(status().at("counts").at("done"), 16);
  EXPECT_EQ(board_of(root()), undisturbed());
}

}  // namespace
}  // namespace expunge::test
