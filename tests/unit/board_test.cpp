#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

#include "board/format.hpp"
#include "board/merge.hpp"
#include "board/render.hpp"
#include "core/error.hpp"
#include "tests/unit/board_fixture.hpp"

namespace expunge::board {
namespace {

using test::SweepFolder;

const std::vector<std::string> kMethods = {"retrain", "scrub", "neggrad"};
const std::vector<std::int64_t> kSeeds = {1, 2};

const Row& row_of(const Board& board, const std::string& id) {
  const auto at =
      std::find_if(board.rows.begin(), board.rows.end(), [&](const Row& r) { return r.cell.id == id; });
  if (at == board.rows.end()) throw std::runtime_error("no row " + id);
  return *at;
}

std::string last_line(const std::string& text) {
  const auto end = text.find_last_not_of('\n');
  return text.substr(text.rfind('\n', end) + 1, end - text.rfind('\n', end));
}

const LeaderboardColumn& column(const Leaderboard& l, const std::string& name) {
  return *std::find_if(l.columns.begin(), l.columns.end(), [&](auto& c) { return c.name == name; });
}

const stat::Interval& value_of(const Leaderboard& l, const std::string& method, const std::string& name) {
  const auto c = static_cast<std::size_t>(&column(l, name) - l.columns.data());
  for (const auto& e : l.groups.at(0).entries)
    if (e.method == method) return e.values.at(c);
  throw std::runtime_error("no entry " + method);
}

bool best(const Leaderboard& l, const std::string& method, const std::string& name) {
  const auto c = static_cast<std::size_t>(&column(l, name) - l.columns.data());
  for (const auto& e : l.groups.at(0).entries)
    if (e.method == method) return e.best.at(c);
  throw std::runtime_error("no entry " + method);
}

TEST(Merge, ACompleteSweep) {
  SweepFolder sweep(kMethods, kSeeds);
  sweep.add_all(kMethods, kSeeds);
  const Merge merged = merge(sweep.path());
  EXPECT_EQ(merged.board.merged(), 6u);
  EXPECT_TRUE(merged.problems.empty());
  EXPECT_TRUE(merged.again.empty());
  EXPECT_EQ(report(merged), "merged 6 of 6; failed 0; corrupt 0; foreign 0; missing 0\n");
  for (std::size_t i = 1; i < 6; ++i)
    EXPECT_LT(merged.board.rows[i - 1].cell.key, merged.board.rows[i].cell.key);
  const Row& row = merged.board.rows[0];
  EXPECT_EQ(row.cell.key, "dataset=toy/model=net/method=neggrad/ratio=0.1/seed=1");
  EXPECT_EQ(row.values[0], 0.9);
  EXPECT_TRUE(std::isnan(row.values[4]));
  EXPECT_EQ(merged.board.timing_names, (std::vector<std::string>{"unlearn", "wall"}));
  EXPECT_EQ(row.timing, (std::vector<double>{2, 3}));
  EXPECT_EQ(row.science_sha256, store::science_sha256(SweepFolder::record("neggrad", 1)));
}

TEST(Merge, EveryCellIsAccountedFor) {
  SweepFolder sweep({"retrain", "scrub", "neggrad", "salun"}, {1, 2});
  auto ok = SweepFolder::record("retrain", 1), diverged = SweepFolder::record("retrain", 2),
       budget = SweepFolder::record("scrub", 1);
  diverged.status = "diverged", diverged.status_text = "loss is NaN at step 3";
  budget.status = "budget";
  sweep.add(ok), sweep.add(diverged), sweep.add(budget);
  const auto corrupt = SweepFolder::record("scrub", 2), failed = SweepFolder::record("neggrad", 1),
             missing = SweepFolder::record("neggrad", 2);
  sweep.add(corrupt);
  write_file_atomic(sweep.store(corrupt), read_file(sweep.store(corrupt)).substr(0, 2000));
  sweep.fail(failed.id, "train.npy: cannot open");
  // A store of an older run of the sweep file, under the name of a planned cell and with a column less.
  auto foreign = SweepFolder::record("salun", 1);
  foreign.row_names.pop_back(), foreign.row.pop_back();
  sweep.add(foreign);
  // One of another sweep, and a file that nobody published.
  auto stranger = SweepFolder::record("fisher", 9);
  sweep.add(stranger);
  write_file_atomic(sweep.path() / "cells" / "00.h5.tmp.host.1", "half");
  sweep.add(SweepFolder::record("salun", 2));

  const Merge merged = merge(sweep.path());
  const Board& b = merged.board;
  EXPECT_EQ(b.rows.size(), 8u);
  EXPECT_EQ(b.merged(), 4u);
  EXPECT_EQ(row_of(b, ok.id).status, "ok");
  EXPECT_EQ(row_of(b, diverged.id).status, "diverged");
  EXPECT_EQ(row_of(b, diverged.id).reason, "loss is NaN at step 3");
  EXPECT_EQ(row_of(b, budget.id).status, "budget");
  EXPECT_EQ(row_of(b, corrupt.id).status, "corrupt");
  EXPECT_NE(row_of(b, corrupt.id).reason.find("truncated"), std::string::npos);
  EXPECT_EQ(row_of(b, failed.id).status, "failed");
  EXPECT_EQ(row_of(b, failed.id).reason, "train.npy: cannot open");
  EXPECT_EQ(row_of(b, missing.id).status, "missing");
  EXPECT_EQ(row_of(b, foreign.id).status, "foreign");
  EXPECT_NE(row_of(b, foreign.id).reason.find("zrf"), std::string::npos);
  EXPECT_EQ(merged.again, (std::vector<std::size_t>{3, 4, 5, 6}));
  const std::string text = report(merged);
  EXPECT_EQ(last_line(text), "merged 4 of 8; failed 1; corrupt 1; foreign 2; missing 1; unfinished 1");
  EXPECT_NE(text.find("without a result: --cells 3-6\n"), std::string::npos) << text;
  EXPECT_NE(text.find("failed: " + failed.id), std::string::npos) << text;
  EXPECT_NE(text.find("train.npy: cannot open (exit 66, somewhere, 2026-01-01T00:00:00Z)"), std::string::npos)
      << text;
  EXPECT_NE(text.find("belongs to no cell of this sweep"), std::string::npos) << text;
}

TEST(Merge, AStoreBeatsAnOldFailureAndAFailedOriginalIsNamed) {
  SweepFolder sweep({"retrain"}, {1, 2});
  const auto done = SweepFolder::record("retrain", 1);
  sweep.add(done);
  sweep.fail(done.id, "an earlier attempt");
  sweep.fail("0123456789abcdef", "no such data");
  const Merge merged = merge(sweep.path());
  EXPECT_EQ(row_of(merged.board, done.id).status, "ok");
  const Row& other = row_of(merged.board, SweepFolder::record("retrain", 2).id);
  EXPECT_EQ(other.status, "missing");
  EXPECT_EQ(other.reason, "its original failed: no such data");
}

TEST(Merge, DuplicatesAreListedNeverAveraged) {
  SweepFolder sweep({"retrain", "scrub"}, {1});
  const auto same = SweepFolder::record("retrain", 1);
  auto first = SweepFolder::record("scrub", 1), second = first;
  second.row[0] = 0.7;
  sweep.add(same), sweep.add(first);
  store::write_record(sweep.path() / "cells" / "copy.h5", same);
  ::setenv("SLURM_RESTART_COUNT", "1", 1);
  store::write_record(sweep.path() / "cells" / "later.h5", second);
  ::unsetenv("SLURM_RESTART_COUNT");
  const Merge merged = merge(sweep.path());
  EXPECT_EQ(merged.board.merged(), 2u);
  EXPECT_EQ(merged.problems.at("duplicate").size(), 1u);
  EXPECT_EQ(merged.problems.at("conflict").size(), 1u);
  EXPECT_EQ(row_of(merged.board, first.id).values[0], 0.7);  // the later restart stands
  EXPECT_NE(row_of(merged.board, first.id).reason.find("2 stores differ"), std::string::npos);
  EXPECT_EQ(last_line(report(merged)),
            "merged 2 of 2; failed 0; corrupt 0; foreign 0; missing 0; duplicate 1; conflict 1");
}

TEST(Merge, ColumnsAreMatchedByName) {
  SweepFolder sweep({"scrub"}, {1});
  auto r = SweepFolder::record("scrub", 1);
  r.row_names = {"extra", "zrf", "unlearn_flops", "retain_accuracy", "forget_accuracy", "test_accuracy"};
  r.row = {-1, 5, 4, 3, 2, 1};
  sweep.add(r);
  EXPECT_EQ(merge(sweep.path()).board.rows.at(0).values, (std::vector<double>{1, 2, 3, 4, 5}));
}

TEST(Merge, AtMostTwentyLinesAClass) {
  std::vector<std::int64_t> seeds(33);
  for (std::size_t i = 0; i < seeds.size(); ++i) seeds[i] = static_cast<std::int64_t>(i);
  SweepFolder sweep({"scrub"}, seeds);
  const std::string text = report(merge(sweep.path()));
  EXPECT_NE(text.find("missing: 13 more\n"), std::string::npos) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 23);
  EXPECT_EQ(last_line(text), "merged 0 of 33; failed 0; corrupt 0; foreign 0; missing 33");
}

TEST(Merge, BytesDoNotDependOnProcessesOrOrder) {
  SweepFolder sweep(kMethods, kSeeds), again(kMethods, kSeeds);
  sweep.add_all(kMethods, {1, 2});
  again.add_all({"neggrad", "scrub", "retrain"}, {2, 1});
  const auto bytes = [](const SweepFolder& s, int processes) {
    write_board(s.path() / "board.h5", merge(s.path(), processes).board);
    return read_file(s.path() / "board.h5");
  };
  const std::string one = bytes(sweep, 1);
  EXPECT_EQ(bytes(sweep, 3), one);
  EXPECT_EQ(bytes(sweep, 100), one);
  EXPECT_EQ(bytes(again, 2), one);
}

TEST(Merge, TheIndexOpensOnlyNewStoresAndChangesNothing) {
  const SweepFolder sweep({"finetune", "scrub"}, {1, 2});
  sweep.add_all({"finetune"}, {1, 2});
  const auto index = index_path(sweep.path());
  const auto bytes_of = [&](const fs::path& with) {
    write_board(sweep.path() / "board.h5", merge(sweep.path(), 1, with).board);
    return read_file(sweep.path() / "board.h5");
  };
  EXPECT_EQ(bytes_of(index), bytes_of({}));
  EXPECT_EQ(bytes_of(index), bytes_of({}));  // now from the index
  // A store that the index knows is not opened again: its damage goes unseen while size and time stay.
  const auto known = sweep.store(SweepFolder::record("finetune", 1));
  const auto time = fs::last_write_time(known);
  std::string bytes = read_file(known);
  const std::string good = bytes;
  bytes[3000] = static_cast<char>(bytes[3000] ^ 1);
  std::ofstream(known, std::ios::binary) << bytes;
  EXPECT_EQ(merge(sweep.path(), 1, index).board.merged(), 1u);  // its time is new
  fs::last_write_time(known, time);
  std::ofstream(known, std::ios::binary) << good;
  fs::last_write_time(known, time);
  EXPECT_EQ(bytes_of(index), bytes_of({}));
  // New, changed and removed stores.
  sweep.add_all({"scrub"}, {1});
  EXPECT_EQ(bytes_of(index), bytes_of({}));
  fs::resize_file(known, 2000);
  EXPECT_EQ(bytes_of(index), bytes_of({}));
  fs::remove(known);
  EXPECT_EQ(bytes_of(index), bytes_of({}));
  EXPECT_EQ(merge(sweep.path(), 1, index).board.merged(), 2u);
  // A damaged index is made again.
  std::string text = read_file(index);
  text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 4);
  std::ofstream(index, std::ios::binary) << text;
  EXPECT_EQ(bytes_of(index), bytes_of({}));
  std::ofstream(index, std::ios::binary) << "expunge index 1\nnothing";
  EXPECT_EQ(bytes_of(index), bytes_of({}));
  EXPECT_EQ(bytes_of(index), bytes_of({}));
}

TEST(Merge, WhatCannotBeReadIsListed) {
  const SweepFolder sweep({"finetune", "scrub"}, {1});
  sweep.add_all({"finetune"}, {1});
  const auto record = SweepFolder::record("scrub", 1);
  fs::create_directories(sweep.store(record));
  for (const fs::path& index : {fs::path(), index_path(sweep.path()), index_path(sweep.path())}) {
    const Merge merged = merge(sweep.path(), 2, index);
    EXPECT_EQ(merged.problems.at("corrupt"),
              std::vector<std::string>{
                  fmt::format("cells/{}/{}.h5: not a file", record.id.substr(0, 2), record.id)});
    EXPECT_EQ(row_of(merged.board, record.id).status, "corrupt");
    EXPECT_EQ(merged.again, std::vector<std::size_t>{1});
    EXPECT_EQ(merged.board.merged(), 1u);
  }
}

TEST(Merge, ACutIndexCostsOnlyWhatWasCutOff) {
  const SweepFolder sweep(kMethods, kSeeds);
  sweep.add_all(kMethods, kSeeds);
  const auto index = index_path(sweep.path());
  const auto expected = science_sha256(merge(sweep.path(), 1, {}).board);
  merge(sweep.path(), 1, index);
  const auto size = fs::file_size(index);
  for (std::uintmax_t left = 0; left < size; left += 97) {
    fs::resize_file(index, left);
    ASSERT_EQ(science_sha256(merge(sweep.path(), 1, index).board), expected) << left;
    ASSERT_EQ(fs::file_size(index), size) << left;
  }
}

TEST(Merge, ConflictsOfDoubledRunsAreListed) {
  const SweepFolder sweep({"finetune"}, {1});
  sweep.add_all({"finetune"}, {1});
  make_folder(sweep.path() / "conflicts");
  write_file_atomic(sweep.path() / "conflicts" / "0123.json", "{}");
  const auto merged = merge(sweep.path());
  EXPECT_EQ(merged.problems.at("conflict").size(), 1u);
  EXPECT_EQ(merged.board.merged(), 1u);
}

TEST(Merge, PlansThatAreNone) {
  test::ScratchFolder folder;
  const auto code = [&] {
    try {
      merge(folder.path());
    } catch (const Error& error) {
      return error.exit_code();
    }
    return 0;
  };
  EXPECT_EQ(code(), kExitMissing);
  for (const char* text : {"", "{", "[]", "{\"name\": 3}", "{\"schema\": 2}"}) {
    write_file_atomic(folder / "plan.json", text);
    EXPECT_EQ(code(), kExitCorrupt) << text;
  }
}

TEST(Board, ComesBackFromItsFile) {
  SweepFolder sweep(kMethods, kSeeds);
  sweep.add(SweepFolder::record("scrub", 1));
  sweep.fail(SweepFolder::record("scrub", 2).id, "ä reason, \"quoted\"");
  const Board b = merge(sweep.path()).board;
  write_board(sweep.path() / "board.h5", b);
  const Board back = read_board(sweep.path() / "board.h5");
  EXPECT_EQ(back.sweep, "tiny");
  EXPECT_EQ(back.sweep_sha256, b.sweep_sha256);
  EXPECT_EQ(back.row_names, b.row_names);
  EXPECT_EQ(back.timing_names, b.timing_names);
  EXPECT_EQ(science_sha256(back), science_sha256(b));
  ASSERT_EQ(back.rows.size(), b.rows.size());
  for (std::size_t i = 0; i < b.rows.size(); ++i) {
    const Row &x = b.rows[i], &y = back.rows[i];
    EXPECT_EQ(std::tie(x.cell.id, x.cell.key, x.cell.dataset, x.cell.model, x.cell.method, x.cell.original_id,
                       x.cell.ratio, x.cell.seed),
              std::tie(y.cell.id, y.cell.key, y.cell.dataset, y.cell.model, y.cell.method, y.cell.original_id,
                       y.cell.ratio, y.cell.seed));
    EXPECT_EQ(
        std::tie(x.status, x.reason, x.parameter_hash, x.science_sha256, x.config_sha256, x.config_json),
        std::tie(y.status, y.reason, y.parameter_hash, y.science_sha256, y.config_sha256, y.config_json));
    for (std::size_t c = 0; c < x.values.size(); ++c)
      EXPECT_TRUE(x.values[c] == y.values[c] || (std::isnan(x.values[c]) && std::isnan(y.values[c])));
  }
  const std::string text = render_json(make_leaderboard(b));
  EXPECT_EQ(render_json(make_leaderboard(back)), text);
}

TEST(Board, ScienceHashFollowsResultsNotProvenance) {
  SweepFolder a({"scrub"}, {1}), b({"scrub"}, {1}), c({"scrub"}, {1});
  auto r = SweepFolder::record("scrub", 1);
  a.add(r);
  r.timing["wall"] = 77;
  b.add(r);
  r.row[1] = 0.51;
  c.add(r);
  const auto hash = [](const SweepFolder& s) { return science_sha256(merge(s.path()).board); };
  EXPECT_EQ(hash(a), hash(b));
  EXPECT_NE(hash(a), hash(c));
}

TEST(Board, DamageAndOtherFilesAreRefused) {
  SweepFolder sweep(kMethods, kSeeds);
  write_board(sweep.path() / "board.h5", merge(sweep.path()).board);
  std::string bytes = read_file(sweep.path() / "board.h5");
  bytes[bytes.size() - 100] = static_cast<char>(bytes[bytes.size() - 100] ^ 1);
  write_file_atomic(sweep.path() / "board.h5", bytes);
  EXPECT_THROW(read_board(sweep.path() / "board.h5"), DataError);
  sweep.add(SweepFolder::record("scrub", 1));
  try {
    read_board(sweep.store(SweepFolder::record("scrub", 1)));
    FAIL() << "a store was read as a board";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("is a run, not a board"), std::string::npos) << error.what();
  }
}

// retrain: test 0.9, forget 0.5; scrub: test 0.8 and 0.82, forget 0.4 and 0.44; neggrad: one seed diverged.
Board followed_by_hand(const SweepFolder& sweep) {
  sweep.add_all({"retrain"}, kSeeds);
  auto a = SweepFolder::record("scrub", 1), b = SweepFolder::record("scrub", 2),
       c = SweepFolder::record("neggrad", 1), d = c;
  a.row = {0.80, 0.40, 0.95, 1e9, std::nan("")};
  b.row = {0.82, 0.44, 0.95, 1e9, std::nan("")};
  c.row = {0.85, 0.10, 0.95, 3e9, 0.25};
  d = SweepFolder::record("neggrad", 2);
  d.status = "diverged";
  d.row = {0.1, 0.0, 0.1, 3e9, std::nan("")};
  for (const auto& r : {a, b, c, d}) sweep.add(r);
  return merge(sweep.path()).board;
}

TEST(Leaderboard, UnlearningThatTakesLongerThanRetrainingIsMarked) {
  SweepFolder sweep({"retrain", "scrub", "salun"}, {1});
  sweep.add(SweepFolder::record("retrain", 1));  // 2 s
  auto slow = SweepFolder::record("scrub", 1), quick = SweepFolder::record("salun", 1);
  slow.timing["unlearn"] = 2.5;
  quick.timing["unlearn"] = 1.5;
  sweep.add(slow);
  sweep.add(quick);
  const Board board = merge(sweep.path()).board;
  const Leaderboard l = make_leaderboard(board);
  std::map<std::string, std::string> cells;
  for (const auto& e : l.groups.at(0).entries) cells[e.method] = shown_cells(e);
  EXPECT_EQ(cells, (std::map<std::string, std::string>{
                       {"retrain", "1/1"}, {"scrub", "1/1 (slower than retrain)"}, {"salun", "1/1"}}));
}

TEST(Leaderboard, MeansIntervalsAndGapsByHand) {
  SweepFolder sweep(kMethods, kSeeds);
  const Board board = followed_by_hand(sweep);
  const Leaderboard l = make_leaderboard(board);
  ASSERT_EQ(l.groups.size(), 1u);
  std::vector<std::string> order;
  for (const auto& e : l.groups[0].entries) order.push_back(e.method);
  EXPECT_EQ(order, (std::vector<std::string>{"retrain", "neggrad", "scrub"}));
  const auto& test = value_of(l, "scrub", "test_accuracy");
  EXPECT_EQ(test.count, 2);
  EXPECT_NEAR(test.mean, 0.81, 1e-12);
  EXPECT_NEAR(test.half_width, 12.706204736 * 0.01, 1e-9);  // deviation 0.02 / sqrt(2), over sqrt(2)
  EXPECT_NEAR(value_of(l, "scrub", "gap_forget_accuracy").mean, -0.08, 1e-12);
  EXPECT_NEAR(value_of(l, "scrub", "gap_forget_accuracy").half_width, 12.706204736 * 0.02, 1e-8);
  EXPECT_EQ(value_of(l, "retrain", "gap_forget_accuracy").count, 0);
  EXPECT_EQ(value_of(l, "scrub", "zrf").count, 0);
  EXPECT_EQ(value_of(l, "scrub", "unlearn_seconds").mean, 2);
  // The diverged cell is counted, not averaged.
  const auto& neggrad = value_of(l, "neggrad", "forget_accuracy");
  EXPECT_EQ(neggrad.count, 1);
  EXPECT_EQ(neggrad.mean, 0.10);
  EXPECT_TRUE(std::isnan(neggrad.half_width));
  EXPECT_EQ(l.groups[0].entries[1].diverged, 1u);
  EXPECT_EQ(l.groups[0].entries[1].ok, 1u);
}

TEST(Leaderboard, TheBestFollowsTheColumnsDirection) {
  SweepFolder sweep(kMethods, kSeeds);
  const Board board = followed_by_hand(sweep);
  const Leaderboard l = make_leaderboard(board);
  EXPECT_TRUE(best(l, "neggrad", "test_accuracy"));
  EXPECT_FALSE(best(l, "scrub", "test_accuracy"));
  EXPECT_FALSE(best(l, "retrain", "test_accuracy"));  // 0.9, but the reference
  EXPECT_TRUE(best(l, "neggrad", "forget_accuracy"));
  EXPECT_TRUE(best(l, "scrub", "unlearn_flops"));
  EXPECT_TRUE(best(l, "scrub", "gap_forget_accuracy"));  // -0.08 against -0.40
  EXPECT_TRUE(best(l, "neggrad", "retain_accuracy") && best(l, "scrub", "retain_accuracy"));  // equal
  EXPECT_TRUE(best(l, "neggrad", "zrf"));
}

TEST(Leaderboard, GroupsAreSplitByRatio) {
  Board board;
  board.row_names = {"test_accuracy"};
  for (double ratio : {0.1, 0.02}) {
    Row row;
    row.cell.method = "scrub", row.cell.ratio = ratio;
    row.status = "ok";
    row.values = {ratio};
    board.rows.push_back(row);
  }
  const auto l = make_leaderboard(board);
  ASSERT_EQ(l.groups.size(), 2u);
  EXPECT_EQ(l.groups[0].ratio, 0.02);
  EXPECT_EQ(l.groups[0].entries[0].values[0].mean, 0.02);
}

TEST(Render, TheTerminalTable) {
  SweepFolder sweep(kMethods, kSeeds);
  const Board board = followed_by_hand(sweep);
  const std::string text = render_text(make_leaderboard(board));
  EXPECT_EQ(text.substr(0, text.find('\n')), "toy · net · ratio 0.1");
  EXPECT_NE(text.find("81.0 ±12.7"), std::string::npos) << text;
  EXPECT_NE(text.find("1/2 (1 diverged)"), std::string::npos) << text;
  EXPECT_NE(text.find("85.0"), std::string::npos) << text;
  EXPECT_EQ(last_line(text), "tiny: 6 of 6 cells; diverged 1");
  // Columns line up: every line of the table has its last column at the same place.
  std::vector<std::size_t> places;
  for (std::size_t at = text.find('\n') + 1; at < text.size() && text[at] != '\n';
       at = text.find('\n', at) + 1) {
    const std::string line = text.substr(at, text.find('\n', at) - at);
    const auto last = line.find_first_of("cells12", line.rfind("  ") + 2);
    std::size_t width = 0;
    for (std::size_t i = 0; i < last; ++i) width += (line[i] & 0xC0) != 0x80;
    places.push_back(width);
  }
  ASSERT_EQ(places.size(), 4u);
  EXPECT_EQ(std::set<std::size_t>(places.begin(), places.end()).size(), 1u) << text;
}

TEST(Render, MissingCellsAreShownEverywhere) {
  SweepFolder sweep(kMethods, kSeeds);
  sweep.add(SweepFolder::record("retrain", 1));
  sweep.fail(SweepFolder::record("scrub", 1).id, "<script>alert(1)</script>");
  const Board board = merge(sweep.path()).board;
  const auto l = make_leaderboard(board);
  EXPECT_NE(render_text(l).find("0/2 (1 failed, 1 missing)"), std::string::npos) << render_text(l);
  EXPECT_NE(render_markdown(l).find("| scrub | - |"), std::string::npos) << render_markdown(l);
  const std::string html = render_html(l);
  EXPECT_NE(html.find("0/2 (1 failed, 1 missing)"), std::string::npos);
  EXPECT_EQ(html.find("<script>alert"), std::string::npos);
  EXPECT_NE(html.find("&lt;script&gt;alert(1)"), std::string::npos);
  const auto json = nlohmann::json::parse(render_json(l));
  EXPECT_EQ(json.at("counts").at("missing"), 4);
  EXPECT_EQ(json.at("counts").at("failed"), 1);
}

TEST(Render, CsvHasFullPrecision) {
  SweepFolder sweep(kMethods, kSeeds);
  const Board board = followed_by_hand(sweep);
  const std::string csv = render_csv(make_leaderboard(board));
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < csv.size(); at = csv.find('\n', at) + 1)
    lines.push_back(csv.substr(at, csv.find('\n', at) - at));
  ASSERT_EQ(lines.size(), 4u);
  const auto commas = std::count(lines[0].begin(), lines[0].end(), ',');
  for (const auto& line : lines) EXPECT_EQ(std::count(line.begin(), line.end(), ','), commas) << line;
  EXPECT_EQ(lines[0].rfind("dataset,model,ratio,method,planned,ok,diverged,budget,failed,missing,test_"
                           "accuracy,test_accuracy_n,",
                           0),
            0u);
  EXPECT_EQ(lines[2].rfind("toy,net,0.1,neggrad,2,1,1,0,0,0,0.85,1,,,,0.1,1,,,,", 0), 0u) << lines[2];
}

TEST(Render, ThePageIsSelfContained) {
  SweepFolder sweep(kMethods, kSeeds);
  const Board board = followed_by_hand(sweep);
  const std::string html = render_html(make_leaderboard(board));
  for (const char* outside : {"http://", "https://", "src=", "@import", "url("})
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  EXPECT_NE(html.find("<svg"), std::string::npos);
  EXPECT_NE(html.find("name=\"viewport\""), std::string::npos);
  EXPECT_NE(html.find("prefers-color-scheme: dark"), std::string::npos);
  for (const auto& row : board.rows) EXPECT_NE(html.find(row.cell.id), std::string::npos);
  // Every opened element is closed.
  for (const char* tag : {"table", "tr", "td", "th", "section", "details", "svg", "g", "div", "pre", "dl"}) {
    std::size_t opened = 0, closed = 0;
    const std::string open = fmt::format("<{}", tag), close = fmt::format("</{}>", tag);
    for (auto at = html.find(open); at != std::string::npos; at = html.find(open, at + 1))
      opened += html[at + open.size()] == ' ' || html[at + open.size()] == '>';
    for (auto at = html.find(close); at != std::string::npos; at = html.find(close, at + 1)) ++closed;
    EXPECT_EQ(opened, closed) << tag;
  }
}

TEST(Render, AnEmptyBoardIsNoProblem) {
  Board board;
  board.sweep = "nothing";
  const auto l = make_leaderboard(board);
  EXPECT_NE(render_text(l).find("nothing: 0 of 0 cells"), std::string::npos);
  EXPECT_FALSE(render_html(l).empty());
  const std::string csv = render_csv(l);
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1);
}

}  // namespace
}  // namespace expunge::board
