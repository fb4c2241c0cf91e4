// One of three ranks goes wrong on purpose: the job ends soon, with one line of reason and its exit code,
// publishes nothing wrong, and the same command without the fault finishes the sweep with the bits of an
// undisturbed one.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "core/text.hpp"
#include "store/checkpoint_file.hpp"
#include "store/store_file.hpp"
#include "tests/cli/command.hpp"

namespace expunge::test {
namespace {

constexpr const char* kMethod = "neggrad_plus";

struct Faults : testing::Test {
  Faults() {
    std::ofstream(folder.path() / "job.toml")
        << "[sweep]\nname = \"tiny\"\ndataset = [\"fashion_mnist\"]\nmodel = [\"resnet8\"]\nmethod = [\""
        << kMethod
        << "\"]\nratio = [0.1]\nseed = [42]\n[data]\ntrain_limit = 192\ntest_limit = 80\n[original]\nepochs "
           "= 1\nbatch = 32\n"
           "[train]\nepochs = 2\nbatch = 32\n[evaluate]\nrandom_networks = 1\n[run]\nstall_seconds = "
           "300\ncheckpoint_steps = 2\n";
  }
  CommandResult run(const std::string& out, const std::string& fault, int ranks = 3,
                    std::vector<std::string> more = {}) const {
    std::vector<std::string> words{"run",
                                   (folder.path() / "job.toml").string(),
                                   "--out",
                                   (folder.path() / out).string(),
                                   "--ranks-per-cell",
                                   std::to_string(ranks)};
    words.insert(words.end(), more.begin(), more.end());
    return run_command(words, "EXPUNGE_FAULT=" + fault +
                                  " EXPUNGE_DATA_ROOT=" + quoted(EXPUNGE_SOURCE_DIR "/data/samples") +
                                  " EXPUNGE_CACHE=" + quoted((folder.path() / "cache").string()) +
                                  " OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 "
                                  "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1 "
                                  "timeout -k 5 240 mpirun --quiet --oversubscribe --bind-to none -n " +
                                  std::to_string(ranks));
  }
  fs::path root(const std::string& out) const { return folder.path() / out / "tiny"; }
  std::vector<fs::path> stores(const std::string& out) const {
    std::vector<fs::path> found;
    if (fs::exists(root(out) / "cells"))
      for (const auto& f : fs::recursive_directory_iterator(root(out) / "cells"))
        if (f.is_regular_file()) found.push_back(f.path());
    return found;
  }
  std::string science(const std::string& out) const {
    const auto found = stores(out);
    return found.size() == 1 ? store::read_row(found[0]).science_sha256
                             : fmt::format("{} files", found.size());
  }
  // Reasons on standard error: lines that say why it ended.
  static std::vector<std::string> reasons(const CommandResult& result) {
    std::vector<std::string> out;
    for (const auto& line : split(result.err, '\n'))
      if (line.rfind("expunge: ", 0) == 0) out.push_back(line);
    return out;
  }
  nlohmann::json only_failure(const std::string& out) const {
    std::vector<fs::path> found;
    for (const auto& f : fs::directory_iterator(root(out) / "failures")) found.push_back(f.path());
    EXPECT_EQ(found.size(), 1u);
    return found.empty() ? nlohmann::json{{"reason", ""}} : nlohmann::json::parse(read_file(found[0]));
  }
  TemporaryFolder folder;
};

TEST_F(Faults, EachKindEndsTheJobAndAResumeGivesTheSameBits) {
  const auto undisturbed = run("undisturbed", "");
  ASSERT_EQ(undisturbed.exit_code, 0) << undisturbed.err;
  const std::string expected = science("undisturbed");
  struct Case {
    const char* kind;
    int code;            // of mpirun; a rank that was killed is 137 there and 76 in batch scripts
    const char* reason;  // in the line and in the record
  };
  for (const auto& c :
       {Case{"throw", 70, "EXPUNGE_FAULT: throw at step"},
        Case{"exit", 70, "exit(3) was called before the end"},
        Case{"kill", 137, "is gone: killed, or out of memory"}, Case{"enospc", 73, "No space left on device"},
        Case{"truncate", 73, "what reached the disk is not what was written: truncated"}}) {
    SCOPED_TRACE(c.kind);
    // Originals first, undisturbed: the fault is to strike the cell.
    ASSERT_EQ(run(c.kind, "", 3, {"--only", "originals"}).exit_code, 0);
    const auto begin = std::chrono::steady_clock::now();
    const auto struck = run(c.kind, std::string("rank:1,step:3,kind:") + c.kind);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    EXPECT_EQ(struck.exit_code, c.code) << struck.err;
    EXPECT_LT(took.count(), 120);  // far below the limit of `timeout`: it ended by itself
    ASSERT_EQ(reasons(struck).size(), 1u) << struck.err;
    EXPECT_NE(reasons(struck)[0].find(c.reason), std::string::npos) << struck.err;
    EXPECT_TRUE(stores(c.kind).empty());
    EXPECT_NE(only_failure(c.kind).at("reason").get<std::string>().find(c.reason), std::string::npos);
    EXPECT_EQ(run(c.kind, "", 2).exit_code, 0);
    EXPECT_EQ(science(c.kind), expected);
    EXPECT_TRUE(fs::is_empty(root(c.kind) / "failures"));
  }
}

TEST_F(Faults, OfTwoCheckpointsTheNewestGoodOneIsUsed) {
  ASSERT_EQ(run("undisturbed", "", 2).exit_code, 0);
  ASSERT_EQ(run("damaged", "", 2, {"--only", "originals"}).exit_code, 0);
  ASSERT_EQ(run("damaged", "rank:1,step:8,kind:kill", 2).exit_code, 137);
  std::map<std::int64_t, fs::path> generations;  // by sequence
  for (const auto& f : fs::directory_iterator(root("damaged") / "checkpoints"))
    if (f.path().extension() == ".h5") generations[store::read_checkpoint(f.path()).sequence] = f.path();
  ASSERT_EQ(generations.size(), 2u);
  const auto older = store::read_checkpoint(generations.begin()->second).state.at("global_step");
  const auto newest = generations.rbegin()->second;
  fs::resize_file(newest, fs::file_size(newest) * 2 / 3);
  const auto resumed = run("damaged", "", 3);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find(newest.filename().string()), std::string::npos) << resumed.err;
  EXPECT_NE(resumed.err.find("resuming at step " + older.dump()), std::string::npos) << resumed.err;
  EXPECT_EQ(science("damaged"), science("undisturbed"));
}

TEST_F(Faults, NanOnOneRankIsDivergenceOnAll) {
  ASSERT_EQ(run("nan", "", 3, {"--only", "originals"}).exit_code, 0);
  const auto struck = run("nan", "rank:1,step:3,kind:nan");
  EXPECT_EQ(struck.exit_code, 0) << struck.err;
  ASSERT_EQ(stores("nan").size(), 1u);
  const auto row = store::read_row(stores("nan")[0]);
  EXPECT_EQ(row.status, "diverged");
  EXPECT_NE(row.status_text.find("at step 3"), std::string::npos) << row.status_text;
}

TEST_F(Faults, AHangIsStuckWithinTheStallLimit) {
  ASSERT_EQ(run("hang", "", 3, {"--only", "originals"}).exit_code, 0);
  const auto struck = run("hang", "rank:1,step:3,kind:hang", 3, {"--set", "run.stall_seconds=20"});
  EXPECT_EQ(struck.exit_code, 75) << struck.err;
  ASSERT_EQ(reasons(struck).size(), 1u) << struck.err;
  // Whichever rank looks first says so: the one that hangs, or one that waits for it.
  EXPECT_NE(reasons(struck)[0].find("fatal: rank "), std::string::npos) << struck.err;
  EXPECT_NE(reasons(struck)[0].find("no progress for 20 s"), std::string::npos) << struck.err;
  EXPECT_TRUE(stores("hang").empty());
  EXPECT_EQ(only_failure("hang").at("exit_code"), 75);
}

TEST_F(Faults, AMistakeInTheVariableIsTold) {
  const auto wrong = run("out", "rank:1,step:3,kind:thrwo", 1);
  EXPECT_EQ(wrong.exit_code, 64);
  EXPECT_NE(wrong.err.find("did you mean \"throw\"?"), std::string::npos) << wrong.err;
}

TEST_F(Faults, CellsWithoutTheirOriginalAre66AndTooManyRestarts86) {
  const auto missing = run("missing", "", 2, {"--only", "cells"});
  EXPECT_EQ(missing.exit_code, 66) << missing.err;
  EXPECT_EQ(only_failure("missing").at("exit_code"), 66);
  const auto command =
      run_command({"run", (folder.path() / "job.toml").string(), "--out", (folder.path() / "often").string(),
                   "--max-restarts", "3"},
                  "SLURM_RESTART_COUNT=4 EXPUNGE_REASON=" + quoted((folder.path() / "reason").string()));
  EXPECT_EQ(command.exit_code, 86) << command.err;
  EXPECT_NE(command.err.find("restarted 4 times without finishing (at most 3)"), std::string::npos)
      << command.err;
  EXPECT_EQ(only_failure("often").at("exit_code"), 86);
}

TEST_F(Faults, ASecondIncarnationComparesAndReports) {
  ASSERT_EQ(run("twice", "", 1).exit_code, 0);
  auto record = store::read_record(stores("twice").at(0));
  const auto path = stores("twice").at(0);
  // Another incarnation has published while this one computed: its file appears behind the back of a run that
  // does not look.
  fs::remove(path);
  record.row.at(0) += 1e-9;
  std::ofstream watcher(folder.path() / "other.sh");
  store::write_record(folder.path() / "other.h5", record);
  watcher << "while ! ls " << quoted((root("twice") / "checkpoints").string())
          << "/*.h5 >/dev/null 2>&1; do sleep 0.01; done\ncp "
          << quoted((folder.path() / "other.h5").string()) << ' ' << quoted(path.string()) << "\n";
  watcher.close();
  std::system(("timeout 100 bash " + quoted((folder.path() / "other.sh").string()) + " &").c_str());
  const auto result = run("twice", "", 1);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("another process published different bits first; its store stands"),
            std::string::npos)
      << result.err;
  EXPECT_EQ(store::read_row(path).science_sha256, store::science_sha256(record));
  const auto conflict = nlohmann::json::parse(read_file(root("twice") / "conflicts" / (record.id + ".json")));
  EXPECT_EQ(conflict.at("published"), store::science_sha256(record));
  EXPECT_NE(conflict.at("other"), conflict.at("published"));
  EXPECT_NE(run_command({"reduce", root("twice").string()}).out.find("conflict"), std::string::npos);
}

}  // namespace
}  // namespace expunge::test
