// One rank goes wrong under mpirun: the whole program ends soon, with the right exit code and one line that
// says why.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <string>

#include "core/files.hpp"
#include "core/text.hpp"

namespace expunge {
namespace {

struct Ended {
  int code;
  std::string output;  // standard output and error
};

// `timeout` turns a hang into exit code 124; no scenario comes near it otherwise.
Ended run(const std::string& command) {
  const std::string line = "timeout -k 5 60 " + command + " 2>&1";
  FILE* pipe = ::popen(line.c_str(), "r");
  std::array<char, 4096> buffer;
  std::string output;
  for (std::size_t got; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    output.append(buffer.data(), got);
  const int status = ::pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 256 + status, output};
}

Ended probe(int ranks, const std::string& arguments, const std::string& environment = "") {
  return run("env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 " + environment +
             " mpirun --quiet --oversubscribe --bind-to none -n " + std::to_string(ranks) + " " +
             EXPUNGE_ABORT_PROBE + " " + arguments);
}

// The line of the abort, and nothing else but "rank N done" lines.
std::string only_line(const Ended& ended) {
  std::string found;
  int lines = 0;
  for (const auto& line : split(ended.output, '\n'))
    if (!line.empty()) ++lines, found = line;
  return lines == 1 ? found : "not one line: " + ended.output;
}

std::string fatal(int rank, int ranks, const std::string& rest) {
  return fmt::format("expunge: fatal: rank {}/{} {} {}", rank, ranks, host_name(), rest);
}

TEST(Abort, NothingWrong) {
  const auto ended = probe(2, "none");
  EXPECT_EQ(ended.code, 0);
  EXPECT_NE(ended.output.find("rank 0 done"), std::string::npos) << ended.output;
  EXPECT_NE(ended.output.find("rank 1 done"), std::string::npos) << ended.output;
}

TEST(Abort, AThrowOnOneRankEndsAll) {
  const auto ended = probe(3, "throw");
  EXPECT_EQ(ended.code, 70);
  EXPECT_EQ(only_line(ended),
            fatal(2, 3, "step 2: two lines: | the invariant broke (last collective #2 ordered_sum)"));
}

TEST(Abort, AnUncaughtExceptionOfAThreadEndsAll) {
  const auto ended = probe(2, "terminate");
  EXPECT_EQ(ended.code, 70);
  EXPECT_EQ(only_line(ended),
            fatal(1, 2, "step 2: uncaught exception: out of a thread (last collective #2 ordered_sum)"));
}

TEST(Abort, ACommunicationErrorIs76) {
  const auto ended = probe(2, "comm");
  EXPECT_EQ(ended.code, 76);
  EXPECT_EQ(only_line(ended),
            fatal(1, 2, "step 2: MPI_Sendrecv failed: made up (last collective #2 ordered_sum)"));
}

TEST(Abort, AHangIs75AndNamesTheStuckRank) {
  const auto ended = probe(2, "hang 0.5");
  EXPECT_EQ(ended.code, 75);
  EXPECT_EQ(only_line(ended),
            fatal(1, 2,
                  "step 2: no progress for 0.5 s, outside any collective: this rank is stuck "
                  "(last collective #2 ordered_sum)"));
}

TEST(Abort, SuspendedWatchdogWaits) { EXPECT_EQ(probe(2, "suspended 0.5").code, 0); }

TEST(Abort, ARankThatIsGoneEndsAll) { EXPECT_EQ(probe(2, "exit").code, 9); }

TEST(Abort, CheckedCollectivesNameTheMismatch) {
  const auto ended = probe(3, "wrong_collective", "EXPUNGE_CHECK_COLLECTIVES=1");
  EXPECT_EQ(ended.code, 76);
  EXPECT_NE(ended.output.find("ranks disagree on the collective: rank 0 calls ordered_sum"),
            std::string::npos)
      << ended.output;
  EXPECT_NE(ended.output.find("rank 2 calls broadcast_text"), std::string::npos) << ended.output;
}

TEST(Abort, CheckedCollectivesNameWrongSizes) {
  const auto ended = probe(2, "wrong_size", "EXPUNGE_CHECK_COLLECTIVES=1");
  EXPECT_EQ(ended.code, 76);
  EXPECT_NE(ended.output.find("ranks disagree on ordered_sum"), std::string::npos) << ended.output;
}

TEST(Abort, CheckedCollectivesPassWhenAllAgree) {
  EXPECT_EQ(probe(3, "none", "EXPUNGE_CHECK_COLLECTIVES=1").code, 0);
}

TEST(Abort, WorksWithoutALauncher) {
  const auto ended = run(std::string("env -u OMPI_COMM_WORLD_SIZE ") + EXPUNGE_ABORT_PROBE + " throw");
  EXPECT_EQ(ended.code, 70);
  EXPECT_EQ(only_line(ended),
            fatal(0, 1, "step 2: two lines: | the invariant broke (last collective #2 ordered_sum)"));
}

TEST(Abort, AllRanksMayAbortAtOnce) {
  const auto ended = probe(3, "unfinished");
  EXPECT_EQ(ended.code, 64);
  EXPECT_NE(ended.output.find("all ranks fail alike"), std::string::npos) << ended.output;
}

}  // namespace
}  // namespace expunge
