// What squeue and scontrol say, and cells to tasks; by hand.
#include <gtest/gtest.h>

#include "cluster/command.hpp"
#include "cluster/packing.hpp"
#include "cluster/scheduler.hpp"

namespace expunge::cluster {
namespace {

TEST(Queue, LinesOfEveryKind) {
  const auto queue = parse_queue(
      "12|RUNNING|None|expunge:a:0001:reduce\n13_4|COMPLETING|None|x\n14_[0-2,7%2]|PENDING|Priority|\n15_[3-"
      "9:3]|PENDING|(null)|c\n");
  ASSERT_EQ(queue.size(), 1u + 1 + 4 + 3);
  EXPECT_EQ(queue[0].job, "12");
  EXPECT_EQ(queue[0].index, -1);
  EXPECT_EQ(queue[0].comment, "expunge:a:0001:reduce");
  EXPECT_EQ(queue[1].job, "13");
  EXPECT_EQ(queue[1].index, 4);
  EXPECT_EQ(queue[1].state, "COMPLETING");
  std::vector<std::int64_t> indices;
  for (std::size_t i = 2; i < queue.size(); ++i) indices.push_back(queue[i].index);
  EXPECT_EQ(indices, (std::vector<std::int64_t>{0, 1, 2, 7, 3, 6, 9}));
  EXPECT_EQ(queue[2].reason, "Priority");
  EXPECT_TRUE(parse_queue("").empty());
}

TEST(Queue, OddRepliesAreErrorsWithTheirText) {
  for (const char* odd : {"squeue: warning\n", "12_[x]|PENDING|a|b\n", "12_|PENDING|a|b\n"}) {
    try {
      parse_queue(odd);
      FAIL() << odd;
    } catch (const SchedulerError& error) {
      EXPECT_EQ(error.exit_code(), 69);
    }
  }
}

TEST(Jobs, EndsOfElementsAndJobs) {
  const auto ends = parse_jobs(
      "JobId=21 ArrayJobId=20 ArrayTaskId=1 JobName=a UserId=root(0) JobState=TIMEOUT Reason=TimeLimit "
      "ExitCode=0:15\n"
      "JobId=20 ArrayJobId=20 ArrayTaskId=2-3 JobState=CANCELLED Reason=None ExitCode=0:0\n"
      "JobId=30 JobName=reduce JobState=FAILED Reason=NonZeroExitCode ExitCode=3:0\n\n");
  ASSERT_EQ(ends.size(), 4u);
  EXPECT_EQ(ends.at({"20", 1}).state, "TIMEOUT");
  EXPECT_EQ(ends.at({"20", 1}).reason, "TimeLimit, exit 0:15");
  EXPECT_EQ(ends.at({"20", 3}).state, "CANCELLED");
  EXPECT_EQ(ends.at({"30", -1}).state, "FAILED");
}

TEST(Command, OutputExitCodesTimeAndAbsence) {
  const auto both = run_command({"sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(both.exit_code, 7);
  EXPECT_EQ(both.out, "out\n");
  EXPECT_EQ(both.message(), "err | out");
  EXPECT_EQ(run_command({"sh", "-c", "kill -9 $$"}).exit_code, 128 + 9);
  EXPECT_FALSE(run_command({"expunge-no-such-program"}).found);
  EXPECT_EQ(run_command({"sh", "-c", "echo $EXPUNGE_X"}, 60, {"EXPUNGE_X=y"}).out, "y\n");
  EXPECT_TRUE(run_command({"sleep", "60"}, 0.2).timed_out);
  // More than a pipe holds, on both ends at once.
  const auto much = run_command({"sh", "-c", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"});
  EXPECT_EQ(much.out.size() + much.err.size(), 600000u);
  EXPECT_EQ(run_command({"sh", "-c", "printf %s " + shell_quoted("a'b \"$HOME\"")}).out, "a'b \"$HOME\"");
}

struct Packing_ : testing::Test {
  // Cells of one second each at 1 GFLOP/s, from two originals in turn.
  sweep::Plan plan(std::size_t cells, double gflop = 1) {
    sweep::Plan plan;
    plan.originals.resize(2);
    for (std::size_t i = 0; i < cells; ++i) {
      sweep::Cell cell;
      cell.flops = gflop * 1e9;
      cell.original = i % 2;
      plan.cells.push_back(cell);
    }
    return plan;
  }
  static std::vector<std::size_t> all(const sweep::Plan& plan) {
    std::vector<std::size_t> out(plan.cells.size());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = i;
    return out;
  }
  Packing_() {
    site.gflops = 1, site.cell_seconds = 0, site.minutes = 1, site.time_limit = 36000,
    site.signal_before_end = 60;
  }
  Site site;
};

TEST_F(Packing_, AMinuteOfSecondsIsSixtyCells) {
  const auto p = plan(150);
  const auto packing = pack_cells(p, all(p), site, 1000);
  ASSERT_EQ(packing.tasks.size(), 3u);
  EXPECT_EQ(packing.tasks[0].cells.size(), 60u);
  EXPECT_DOUBLE_EQ(packing.tasks[0].seconds, 60);
  EXPECT_EQ(packing.tasks[2].cells.size(), 30u);
  EXPECT_TRUE(packing.left.empty());
  // Cells of one original first.
  EXPECT_EQ(packing.tasks[0].cells[1], 2u);
  EXPECT_EQ(packing.tasks[2].cells.back(), 149u);
}

TEST_F(Packing_, GroupsWorkSideBySide) {
  const auto p = plan(150);
  site.ranks = 4;
  EXPECT_EQ(groups_of(p, site), 4);
  EXPECT_EQ(pack_cells(p, all(p), site, 1000).tasks.size(), 1u);  // 150 / 4 < 60
  site.ranks_per_cell = 2;                                        // two groups, twice as fast
  EXPECT_EQ(groups_of(p, site), 2);
  EXPECT_DOUBLE_EQ(cell_seconds(p, 0, site), 0.5);
  const auto large = plan(6, 600);  // ten minutes each: one a group all the same
  site.ranks_per_cell = 1;
  const auto packing = pack_cells(large, all(large), site, 1000);
  ASSERT_EQ(packing.tasks.size(), 2u);
  EXPECT_EQ(packing.tasks[0].cells.size(), 4u);
  EXPECT_DOUBLE_EQ(packing.tasks[0].seconds, 600);
}

TEST_F(Packing_, CapsMakeTasksLongerNotCellsLost) {
  const auto p = plan(600);
  const auto packing = pack_cells(p, all(p), site, 3);
  EXPECT_LE(packing.tasks.size(), 3u);
  std::size_t cells = 0;
  for (const auto& task : packing.tasks) cells += task.cells.size();
  EXPECT_EQ(cells, 600u);
  // Without requeue a task must end in time: 0.8 * (160 - 60) = 80 seconds of it.
  site.requeue = false, site.time_limit = 160;
  const auto limited = pack_cells(p, all(p), site, 3);
  ASSERT_EQ(limited.tasks.size(), 3u);
  EXPECT_EQ(limited.tasks[0].cells.size(), 80u);
  EXPECT_EQ(limited.left.size(), 600u - 240u);
  EXPECT_EQ(limited.left.back(), 599u);
}

TEST_F(Packing_, TheTimeLimitBoundsATask) {
  const auto p = plan(300);
  site.minutes = 60, site.time_limit = 185;  // 0.8 * (185 - 60) = 100
  EXPECT_EQ(pack_cells(p, all(p), site, 1000).tasks.size(), 3u);
}

}  // namespace
}  // namespace expunge::cluster
