// Deletion requests one after another, as a user runs them: stopped in the second request, resumed on another
// number of ranks, shown, verified, studied.
#include <gtest/gtest.h>

#include <fstream>

#include "store/store_file.hpp"
#include "tests/cli/command.hpp"

namespace expunge::test {
namespace {

struct RequestsRun : testing::Test {
  // The original takes 5 steps, neggrad_plus 10 for each request.
  RequestsRun() {
    std::ofstream(folder.path() / "job.toml")
        << "[sweep]\nname = \"tiny\"\ndataset = [\"fashion_mnist\"]\nmodel = [\"resnet8\"]\nmethod = "
           "[\"neggrad_plus\"]\nratio = [0.1]\nseed = [42]\n[data]\ntrain_limit = 160\ntest_limit = "
           "80\nrequests = [0.5, 0.5]\n[original]\nepochs = 1\nbatch = 32\n[train]\nepochs = 2\nbatch = "
           "32\n[evaluate]\nmetrics = [\"accuracy\"]\n[run]\ncheckpoint_steps = 1\n";
  }
  std::string environment(const std::string& fault = "") const {
    return "EXPUNGE_FAULT=" + fault + " EXPUNGE_DATA_ROOT=" + quoted(EXPUNGE_SOURCE_DIR "/data/samples") +
           " EXPUNGE_CACHE=" + quoted((folder.path() / "cache").string()) +
           " OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
           "OMPI_MCA_mpi_yield_when_idle=1 ";
  }
  CommandResult run(const std::string& out, int ranks, const std::string& fault = "") const {
    return run_command(
        {"run", (folder.path() / "job.toml").string(), "--out", (folder.path() / out).string(),
         "--ranks-per-cell", std::to_string(ranks)},
        environment(fault) + "mpirun --quiet --oversubscribe --bind-to none -n " + std::to_string(ranks));
  }
  std::filesystem::path cell(const std::string& out) const {
    for (const auto& f :
         std::filesystem::recursive_directory_iterator(folder.path() / out / "tiny" / "cells"))
      if (f.path().extension() == ".h5") return f.path();
    return {};
  }
  TemporaryFolder folder;
};

TEST_F(RequestsRun, GoesOnInsideASecondRequest) {
  const auto whole = run("whole", 1);
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  const auto record = store::read_record(cell("whole"));
  ASSERT_EQ(record.requests.size(), 2 * record.request_columns.size());
  const auto disturbed = run("stopped", 2, "rank:0,step:19,kind:throw");
  EXPECT_EQ(disturbed.exit_code, 70) << disturbed.err;
  const auto resumed = run("stopped", 3);
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("resuming at step 13"), std::string::npos) << resumed.err;
  EXPECT_EQ(store::read_row(cell("stopped")).science_sha256, store::read_row(cell("whole")).science_sha256);

  const auto shown = run_command({"show", cell("whole").string()});
  EXPECT_NE(shown.out.find("part_accuracy"), std::string::npos) << shown.out;
  const auto equal = run_command({"verify", cell("stopped").string()}, environment());
  EXPECT_EQ(equal.exit_code, 0) << equal.out << equal.err;
  ASSERT_EQ(run_command({"reduce", (folder.path() / "whole" / "tiny").string()}).exit_code, 0);
  const auto study =
      run_command({"study", "requests", (folder.path() / "whole" / "tiny" / "board.h5").string()});
  EXPECT_EQ(study.exit_code, 0) << study.err;
  EXPECT_NE(study.out.find("neggrad_plus"), std::string::npos) << study.out;
}

TEST_F(RequestsRun, UnitsThatADataSetHasNotAreRefused) {
  const auto check = run_command(
      {"check", (folder.path() / "job.toml").string(), "--set", "data.unit=\"edge\""}, environment());
  EXPECT_EQ(check.exit_code, 64);
  EXPECT_NE(check.err.find("fashion_mnist has no such unit of deletion (have: sample, class)"),
            std::string::npos)
      << check.err;
}

TEST(List, GroupsMethodsByTheTaxonomy) {
  const auto by = run_command({"list", "methods", "--by", "corrupt"});
  EXPECT_EQ(by.exit_code, 0);
  EXPECT_NE(by.out.find("corrupt: data\n"), std::string::npos) << by.out;
  EXPECT_NE(by.out.find("rand_label"), std::string::npos);
  EXPECT_EQ(run_command({"list", "methods", "--by", "colour"}).exit_code, 2);
  EXPECT_EQ(run_command({"list", "models", "--by", "corrupt"}).exit_code, 2);
}

}  // namespace
}  // namespace expunge::test
