// reduce, board and show on folders whose stores are made here.
#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "store/checkpoint_file.hpp"
#include "tests/cli/command.hpp"
#include "tests/unit/board_fixture.hpp"

namespace expunge {
namespace {

using test::run_command;
using test::SweepFolder;

const std::vector<std::string> kMethods = {"retrain", "scrub"};
const std::vector<std::int64_t> kSeeds = {1, 2};

std::string last_line(const std::string& text) {
  const auto end = text.find_last_not_of('\n');
  return text.substr(text.rfind('\n', end) + 1, end - text.rfind('\n', end));
}

TEST(ReduceCommand, CompleteThenShownAsALeaderboard) {
  SweepFolder sweep(kMethods, kSeeds);
  sweep.add_all(kMethods, kSeeds);
  const auto reduced = run_command({"reduce", sweep.path().string()});
  EXPECT_EQ(reduced.exit_code, kExitOk) << reduced.err;
  EXPECT_EQ(reduced.out, "merged 4 of 4; failed 0; corrupt 0; foreign 0; missing 0\n");
  const auto table = run_command({"board", (sweep.path() / "board.h5").string()});
  EXPECT_EQ(table.exit_code, kExitOk) << table.err;
  EXPECT_NE(table.out.find("toy · net · ratio 0.1\n"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("90.0 ±0.0"), std::string::npos) << table.out;
  EXPECT_EQ(last_line(table.out), "tiny: 4 of 4 cells");
  EXPECT_EQ(run_command({"board", sweep.path().string()}).out, table.out);  // the folder will do
}

TEST(ReduceCommand, IncompleteIsWrittenAndSaid) {
  SweepFolder sweep(kMethods, kSeeds);
  sweep.add(SweepFolder::record("retrain", 1));
  sweep.fail(SweepFolder::record("scrub", 2).id, "out of disk");
  const auto reduced =
      run_command({"reduce", sweep.path().string(), "-o", (sweep.path() / "other.h5").string()});
  EXPECT_EQ(reduced.exit_code, kExitIncomplete);
  EXPECT_EQ(last_line(reduced.out), "merged 1 of 4; failed 1; corrupt 0; foreign 0; missing 2");
  EXPECT_NE(reduced.out.find("without a result: --cells 1-3\n"), std::string::npos) << reduced.out;
  EXPECT_FALSE(fs::exists(sweep.path() / "board.h5"));
  EXPECT_EQ(run_command({"board", (sweep.path() / "other.h5").string()}).exit_code, kExitOk);
}

TEST(ReduceCommand, WhatItCannotReadOrWrite) {
  SweepFolder sweep(kMethods, kSeeds);
  EXPECT_EQ(run_command({"reduce"}).exit_code, kExitUsage);
  EXPECT_EQ(run_command({"reduce", (sweep.path() / "absent").string()}).exit_code, kExitMissing);
  const auto unwritable =
      run_command({"reduce", sweep.path().string(), "-o", (sweep.path() / "plan.json/board.h5").string()});
  EXPECT_EQ(unwritable.exit_code, kExitInternal);
  EXPECT_NE(unwritable.err.find("cannot create folder"), std::string::npos) << unwritable.err;
}

TEST(BoardCommand, FilesOfEveryKind) {
  SweepFolder sweep(kMethods, kSeeds);
  sweep.add_all(kMethods, kSeeds);
  run_command({"reduce", sweep.path().string()});
  const auto at = [&](const char* name) { return (sweep.path() / name).string(); };
  const auto result = run_command({"board", sweep.path().string(), "--md", at("b.md"), "--csv", at("b.csv"),
                                   "--json", at("b.json"), "--html", at("b.html")});
  EXPECT_EQ(result.exit_code, kExitOk) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_NE(read_file(at("b.md")).find("| method |"), std::string::npos);
  EXPECT_EQ(read_file(at("b.csv")).rfind("dataset,model,ratio,method", 0), 0u);
  EXPECT_EQ(nlohmann::json::parse(read_file(at("b.json"))).at("sweep"), "tiny");
  EXPECT_EQ(read_file(at("b.html")).rfind("<!DOCTYPE html>", 0), 0u);
  EXPECT_EQ(run_command({"board", sweep.path().string(), "--json", "-"}).out, read_file(at("b.json")));
  EXPECT_EQ(run_command({"board", sweep.path().string(), "--html", at("absent/b.html")}).exit_code,
            kExitCannotWrite);
}

TEST(BoardCommand, AStoreIsNoBoard) {
  SweepFolder sweep(kMethods, kSeeds);
  const auto r = SweepFolder::record("scrub", 1);
  sweep.add(r);
  const auto result = run_command({"board", sweep.store(r).string()});
  EXPECT_EQ(result.exit_code, kExitCorrupt);
  EXPECT_NE(result.err.find("is a run, not a board"), std::string::npos) << result.err;
}

TEST(ShowCommand, AStore) {
  SweepFolder sweep(kMethods, kSeeds);
  const auto r = SweepFolder::record("scrub", 1);
  sweep.add(r);
  const auto shown = run_command({"show", sweep.store(r).string(), "--json"});
  ASSERT_EQ(shown.exit_code, kExitOk) << shown.err;
  const auto json = nlohmann::json::parse(shown.out);
  EXPECT_EQ(json.at("kind"), "run");
  EXPECT_EQ(json.at("id"), r.id);
  EXPECT_EQ(json.at("parameter_hash"), r.parameter_hash);
  EXPECT_EQ(json.at("science_sha256"), store::science_sha256(r));
  EXPECT_EQ(json.at("row").at("test_accuracy"), 0.9);
  EXPECT_TRUE(json.at("row").at("zrf").is_null());
  EXPECT_EQ(json.at("timing").at("wall"), 3.0);
  EXPECT_EQ(json.at("config"), r.config);
  EXPECT_EQ(json.at("attributes").at("schema_version"), 1);
  const auto text = run_command({"show", sweep.store(r).string()});
  EXPECT_EQ(text.exit_code, kExitOk);
  for (const std::string& part :
       {r.id, r.key, r.parameter_hash, std::string("test_accuracy"), std::string("created_utc")})
    EXPECT_NE(text.out.find(part), std::string::npos) << part;
}

TEST(ShowCommand, BoardsAndCheckpoints) {
  SweepFolder sweep(kMethods, kSeeds);
  sweep.add_all(kMethods, {1});
  run_command({"reduce", sweep.path().string()});
  const auto board =
      nlohmann::json::parse(run_command({"show", (sweep.path() / "board.h5").string(), "--json"}).out);
  EXPECT_EQ(board.at("kind"), "board");
  EXPECT_EQ(board.at("cells").size(), 4u);
  EXPECT_EQ(board.at("attributes").at("merged"), 2);
  store::Checkpoint c;
  c.cell_id = "abc";
  c.sequence = 3;
  c.state = {{"step", 17}};
  c.f32["values"] = {1, 2, 3};
  store::write_checkpoint(sweep.path() / "c.h5", c);
  const auto shown =
      nlohmann::json::parse(run_command({"show", (sweep.path() / "c.h5").string(), "--json"}).out);
  EXPECT_EQ(shown.at("kind"), "checkpoint");
  EXPECT_EQ(shown.at("sequence"), 3);
  EXPECT_EQ(shown.at("state").at("step"), 17);
  EXPECT_EQ(shown.at("arrays").at("values"), 3);
}

TEST(ShowCommand, DamagedAndAbsentFiles) {
  SweepFolder sweep(kMethods, kSeeds);
  const auto r = SweepFolder::record("scrub", 1);
  sweep.add(r);
  write_file_atomic(sweep.store(r), read_file(sweep.store(r)).substr(0, 1000));
  const auto damaged = run_command({"show", sweep.store(r).string()});
  EXPECT_EQ(damaged.exit_code, kExitCorrupt);
  EXPECT_NE(damaged.err.find("truncated"), std::string::npos) << damaged.err;
  EXPECT_EQ(run_command({"show", (sweep.path() / "absent.h5").string()}).exit_code, kExitMissing);
}

}  // namespace
}  // namespace expunge
