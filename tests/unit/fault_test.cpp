// EXPUNGE_FAULT: what it accepts, and that a store whose writer dies at any stage of publishing is whole or
// not there.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board/merge.hpp"
#include "core/error.hpp"
#include "core/fault.hpp"
#include "store/checkpoint_file.hpp"
#include "tests/unit/board_fixture.hpp"

namespace expunge {
namespace {

using test::SweepFolder;

std::string mistake(const std::string& text) {
  try {
    fault::parse(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Fault, Text) {
  const auto f = fault::parse("rank:1,step:3,kind:kill,stage:fsync");
  EXPECT_EQ(f.rank, 1);
  EXPECT_EQ(f.step, 3);
  EXPECT_EQ(f.kind, fault::Kind::kKill);
  EXPECT_EQ(f.stage, "fsync");
  EXPECT_EQ(fault::parse("").kind, fault::Kind::kNone);
  EXPECT_EQ(fault::parse("kind:nan").step, 1);
  EXPECT_EQ(mistake("kind:thrwo"),
            "EXPUNGE_FAULT: unknown kind \"thrwo\"; did you mean \"throw\"? (have: enospc, exit, hang, kill, "
            "nan, throw, truncate) (like rank:1,step:3,kind:throw)");
  for (const char* wrong : {"rank:1", "rank:x,kind:nan", "kind:nan,step:0", "knid:nan",
                            "kind:nan,stage:fsync", "kind:kill,stage:never", "kind"})
    EXPECT_NE(mistake(wrong), "accepted") << wrong;
}

TEST(Fault, NothingHappensWithoutIt) {
  fault::configure({});
  EXPECT_FALSE(fault::at_step());
  fault::at_stage("write");
  EXPECT_FALSE(fault::disk_is_full());
  EXPECT_FALSE(fault::cuts_files_short());
}

TEST(Fault, StrikesItsRankAtItsStepOnce) {
  fault::configure({.kind = fault::Kind::kNan, .rank = 2, .step = 3, .stage = ""});
  fault::set_place(1, 0, 3);
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(fault::at_step());
  fault::configure({.kind = fault::Kind::kNan, .rank = 2, .step = 3, .stage = ""});
  fault::set_place(2, 0, 3);
  EXPECT_FALSE(fault::at_step());
  EXPECT_FALSE(fault::at_step());
  EXPECT_TRUE(fault::at_step());
  EXPECT_FALSE(fault::at_step());
  fault::configure({.kind = fault::Kind::kThrow, .rank = 0, .step = 1, .stage = ""});
  fault::set_place(0, 0, 1);
  EXPECT_THROW(fault::at_step(), InternalError);
  fault::configure({});
}

// Runs `work` in a process of its own with this fault; its wait status.
template <class Work>
int in_child(const fault::Fault& fault, Work&& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    fault::configure(fault);
    fault::set_place(fault.rank, fault.rank, fault.rank + 1);
    int code = 0;
    try {
      work();
    } catch (const Error& error) {
      code = error.exit_code();
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

TEST(Fault, AWriterKilledAtAnyStageLeavesAWholeStoreOrNone) {
  for (const char* stage : {"create", "write", "flush", "fsync", "rename", "folder"}) {
    const SweepFolder sweep({"finetune"}, {1});
    const auto record = SweepFolder::record("finetune", 1);
    const int status = in_child({.kind = fault::Kind::kKill, .stage = stage}, [&] { sweep.add(record); });
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << stage;
    const bool published = std::string(stage) == "rename" || std::string(stage) == "folder";
    const auto merged = board::merge(sweep.path());
    EXPECT_EQ(merged.board.merged(), published ? 1u : 0u) << stage;
    EXPECT_EQ(merged.board.rows[0].status, published ? "ok" : "missing") << stage;
    // What is left under a temporary name is told, and never read.
    EXPECT_EQ(merged.problems.count("unfinished"), 1u) << stage;
    // The next writer is not in its way.
    EXPECT_EQ(store::write_record(sweep.store(record), record),
              published ? store::Published::kSame : store::Published::kFirst)
        << stage;
    EXPECT_EQ(board::merge(sweep.path()).board.merged(), 1u) << stage;
  }
}

TEST(Fault, AFullDiskAndACutFileAreNoticedBeforePublication) {
  for (const auto kind : {fault::Kind::kEnospc, fault::Kind::kTruncate}) {
    const SweepFolder sweep({"finetune"}, {1});
    const auto record = SweepFolder::record("finetune", 1);
    const int status = in_child({.kind = kind, .rank = 0, .step = 1, .stage = ""}, [&] {
      fault::at_step();
      sweep.add(record);
    });
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), kExitCannotWrite);
    EXPECT_FALSE(fs::exists(sweep.store(record)));
    const auto merged = board::merge(sweep.path());
    EXPECT_EQ(merged.problems.count("unfinished"), 0u);
    EXPECT_EQ(merged.board.rows[0].status, "missing");
  }
}

TEST(Fault, ACheckpointWriterKilledAtAnyStageLeavesTheOldGeneration) {
  for (const char* stage : {"create", "write", "flush", "fsync", "rename", "folder"}) {
    const test::ScratchFolder folder;
    store::Checkpoint old;
    old.cell_id = "c", old.sequence = 1;
    store::write_checkpoint(folder / "c.1.h5", old);
    store::Checkpoint next = old;
    next.sequence = 2;
    const int status = in_child({.kind = fault::Kind::kKill, .stage = stage},
                                [&] { store::write_checkpoint(folder / "c.0.h5", next); });
    ASSERT_TRUE(WIFSIGNALED(status)) << stage;
    const auto newest = store::read_newest(folder / "c.0.h5", folder / "c.1.h5");
    ASSERT_TRUE(newest) << stage;
    const bool published = std::string(stage) == "rename" || std::string(stage) == "folder";
    EXPECT_EQ(newest->sequence, published ? 2 : 1) << stage;
  }
}

}  // namespace
}  // namespace expunge
