// Metrics from kept outputs, the published comparison, and studies over folders made by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "board/merge.hpp"
#include "board/published.hpp"
#include "board/recompute.hpp"
#include "board/render.hpp"
#include "board/study/study.hpp"
#include "board/svg.hpp"
#include "core/error.hpp"
#include "core/rng.hpp"
#include "tests/unit/board_fixture.hpp"

namespace expunge::board {
namespace {

using test::SweepFolder;

constexpr std::int64_t kClasses = 3;

// Logits that point to the label with this strength, plus keyed noise.
store::SplitOutputs outputs(std::int64_t first, std::int64_t count, double strength, const Rng& rng) {
  store::SplitOutputs out;
  out.classes = kClasses;
  for (std::int64_t i = first; i < first + count; ++i) {
    out.ids.push_back(i);
    out.labels.push_back(i % kClasses);
    for (std::int64_t k = 0; k < kClasses; ++k)
      out.logits.push_back(static_cast<float>(strength * (k == i % kClasses) + rng.normal(i, k)));
  }
  return out;
}

store::SplitOutputs joined(const store::SplitOutputs& a, const store::SplitOutputs& b) {
  store::SplitOutputs out = a;
  out.ids.insert(out.ids.end(), b.ids.begin(), b.ids.end());
  out.labels.insert(out.labels.end(), b.labels.begin(), b.labels.end());
  out.logits.insert(out.logits.end(), b.logits.begin(), b.logits.end());
  return out;
}

// Cells with kept outputs: forget 0..39, retain 40..239, test 0..99 of another side.
void add_cell(const SweepFolder& sweep, const std::string& method, std::int64_t seed, double on_forget) {
  auto r = SweepFolder::record(method, seed);
  const Rng rng = Rng(9, method).sub(static_cast<std::uint64_t>(seed));
  r.outputs["forget"] = outputs(0, 40, on_forget, rng.sub("f"));
  r.outputs["retain"] = outputs(40, 200, 3, rng.sub("r"));
  r.outputs["test"] = outputs(0, 100, 2, rng.sub("t"));
  r.config["settings"]["evaluate"] = {{"seed", 5}};
  r.config["retrain_flops"] = 4e9;
  r.flops = {{"unlearn_total", 2e9}, {"eval_total", 1e8}};
  r.splits["test"] = {100, 80, kClasses, 50.0, {30, 2, 2, 3, 25, 5, 4, 4, 25}};
  sweep.add(r);
}

void add_original(const SweepFolder& sweep, double test_accuracy) {
  store::Record r;
  r.kind = "original";
  r.id = "0123456789abcdef", r.key = "dataset=toy/model=net/seed=1";
  r.dataset = "toy", r.model = "net", r.method = "original", r.sweep = "tiny";
  r.row_names = {"train_accuracy", "test_accuracy"};
  r.row = {1, test_accuracy};
  r.parameter_hash = std::string(32, 'c');
  r.config = nlohmann::json::object();
  const Rng rng(3, "original");
  r.outputs["train"] = joined(outputs(0, 40, 4, rng), outputs(40, 200, 4, rng));
  r.outputs["test"] = outputs(0, 100, 2, rng.sub("t"));
  r.splits["test"] = {100, static_cast<std::int64_t>(100 * test_accuracy), kClasses, 50.0, {}};
  store::write_record(sweep.path() / "originals" / r.id / "store.h5", r);
}

double value(const Board& b, const std::string& method, std::int64_t seed, const std::string& column) {
  for (const auto& row : b.rows)
    if (row.cell.method == method && row.cell.seed == seed) return value_at(b, row, column);
  return std::nan("");
}

class Kept : public ::testing::Test {
 protected:
  Kept() : sweep_({"retrain", "scrub", "copy"}, {1, 2, 3, 4}) {
    for (std::int64_t s = 1; s <= 4; ++s) {
      add_cell(sweep_, "retrain", s, 1);
      add_cell(sweep_, "scrub", s, 6);
    }
    // "copy" repeats retrain's outputs under its own name.
    for (std::int64_t s = 1; s <= 4; ++s) {
      auto r = SweepFolder::record("copy", s);
      const auto twin = store::read_record(sweep_.store(SweepFolder::record("retrain", s)));
      r.outputs = twin.outputs, r.config = twin.config, r.flops = twin.flops, r.splits = twin.splits;
      sweep_.add(r);
    }
    add_original(sweep_, 0.95);
    board_ = merge(sweep_.path()).board;
  }
  SweepFolder sweep_;
  Board board_;
};

TEST_F(Kept, ColumnsAppearWithoutRunningACell) {
  const auto done =
      recompute(sweep_.path(), {"retrain_likeness", "calibration", "groups", "mia_svm", "accuracy"}, board_);
  EXPECT_EQ(done.cells, 12u);
  EXPECT_TRUE(done.skipped.empty());
  // A copy of retrain is retrain: no divergence, full agreement, p = 1.
  EXPECT_EQ(value(board_, "copy", 2, "retrain_js"), 0);
  EXPECT_EQ(value(board_, "copy", 2, "retrain_variation"), 0);
  EXPECT_EQ(value(board_, "copy", 2, "retrain_agreement"), 1);
  EXPECT_EQ(value(board_, "copy", 2, "forget_quality"), 1);
  EXPECT_TRUE(std::isnan(value(board_, "retrain", 2, "retrain_js")));  // it is its own reference
  EXPECT_GT(value(board_, "scrub", 2, "retrain_js"), 0.05);
  EXPECT_LT(value(board_, "scrub", 2, "forget_quality"), 0.01);
  // D_f as sure as D_r is called training data, retrain's D_f less often.
  EXPECT_GT(value(board_, "scrub", 1, "mia_svm_success"), value(board_, "retrain", 1, "mia_svm_success"));
  EXPECT_GT(value(board_, "scrub", 1, "mia_svm_ratio_retain"), 0);
  // Recomputed accuracy replaces the stored one.
  EXPECT_NE(value(board_, "scrub", 1, "test_accuracy"), 0.9);
  EXPECT_EQ(board_.recomputed.size(), 5u);
}

TEST_F(Kept, ABoardRemembersWhatWasRecomputed) {
  const std::string before = science_sha256(board_);
  recompute(sweep_.path(), {"calibration"}, board_);
  EXPECT_NE(science_sha256(board_), before);
  write_board(sweep_.path() / "board.h5", board_);
  const Board again = read_board(sweep_.path() / "board.h5");
  EXPECT_EQ(again.recomputed, std::vector<std::string>{"calibration"});
  EXPECT_EQ(value(again, "scrub", 3, "ece_test"), value(board_, "scrub", 3, "ece_test"));
  EXPECT_EQ(again.rows[0].host, board_.rows[0].host);
  EXPECT_FALSE(again.rows[0].git_hash.empty());
}

TEST_F(Kept, CellsWithoutOutputsAreCounted) {
  SweepFolder bare({"retrain", "scrub"}, {1});
  bare.add_all({"retrain", "scrub"}, {1});
  Board b = merge(bare.path()).board;
  const auto done = recompute(bare.path(), {"calibration"}, b);
  EXPECT_EQ(done.cells, 0u);
  ASSERT_EQ(done.skipped.size(), 1u);
  EXPECT_NE(done.skipped.begin()->first.find("keep_outputs"), std::string::npos);
  EXPECT_EQ(done.skipped.begin()->second, 2u);
  EXPECT_TRUE(std::isnan(value(b, "scrub", 1, "ece_test")));
}

TEST_F(Kept, WhatCannotBeRecomputedIsRefused) {
  EXPECT_THROW(recompute(sweep_.path(), {"zrf"}, board_), UsageError);
  EXPECT_THROW(recompute(sweep_.path(), {"calibrations"}, board_), UsageError);
}

TEST_F(Kept, EveryStudyAnswersOrSaysWhy) {
  recompute(sweep_.path(), {"mia", "mia_svm", "accuracy", "flops", "overall", "auc"}, board_);
  StudyOptions options;
  options.by = "method";
  for (const auto& study : studies()) {
    const auto report = study.run({{sweep_.path(), board_}}, options);
    EXPECT_FALSE(report.tables.empty() && report.notes.empty()) << study.name;
    for (const auto& table : report.tables)
      for (const auto& row : table.rows) EXPECT_LE(row.size(), table.rows[0].size()) << study.name;
    EXPECT_FALSE(study_text(report).empty());
    for (const auto& plot : report.plots) {
      const auto svg = study_svg(plot);
      EXPECT_TRUE(svg.empty() || svg.ends_with("</svg>")) << plot.name;
    }
    // No cell at all must not end in an error either.
    EXPECT_NO_THROW(study.run({{sweep_.path(), Board{}}}, options)) << study.name;
  }
}

std::vector<std::string> row_of(const StudyReport& report, const std::string& method, std::size_t column) {
  for (const auto& row : report.tables.at(0).rows)
    if (row.size() > column && row[column] == method) return row;
  return {};
}

TEST_F(Kept, EnsemblesTellScrubButNotACopy) {
  const auto lira = find_study("ulira")->run({{sweep_.path(), board_}}, {});
  EXPECT_GT(std::stod(row_of(lira, "scrub", 2).at(3)), 90);
  EXPECT_NEAR(std::stod(row_of(lira, "copy", 2).at(3)), 50, 1e-9);  // the same numbers on both sides
  const auto klom = find_study("klom")->run({{sweep_.path(), board_}}, {});
  EXPECT_EQ(row_of(klom, "copy", 2).at(4), "0.000");
  EXPECT_GT(std::stod(row_of(klom, "scrub", 2).at(4)), 1);
}

TEST_F(Kept, VarianceSeparatesItsLevels) {
  StudyOptions options;
  options.column = "auc_gold_prob";
  options.gap = 0.05;
  const auto report = find_study("variance")->run({{sweep_.path(), board_}}, options);
  const auto row = row_of(report, "scrub", 2);
  ASSERT_EQ(row.size(), report.tables[0].rows[0].size());
  EXPECT_EQ(row.at(4), "-");  // one original: no estimate
  EXPECT_NEAR(std::stod(row.at(5)) + std::stod(row.at(6)), 100, 0.11);
  EXPECT_EQ(row.at(8), "4");
}

// Test accuracies by ratio, original 0.9: losses of 2, 4, 6 and 30 %.
TEST(CapacityStudy, StopsAtTheFirstRatioThatFails) {
  SweepFolder sweep({"scrub"}, {1});
  add_original(sweep, 0.9);
  Board b;
  b.row_names = {"test_accuracy", "forget_accuracy"};
  int n = 0;
  for (const double loss : {0.02, 0.04, 0.30, 0.03}) {
    Row row;
    row.cell = {fmt::format("{}", n), "", "toy", "net", "scrub", "0123456789abcdef", 0.02 * ++n, 1};
    row.status = "ok";
    row.values = {0.9 * (1 - loss), 0.5 + 0.1 * n};
    b.rows.push_back(row);
  }
  const auto report = find_study("capacity")->run({{sweep.path(), b}}, {});
  const auto row = row_of(report, "scrub", 1);
  EXPECT_EQ(row.at(2), "4 %");  // 8 % passes again, but 6 % did not
  EXPECT_EQ(row.at(3), "70.0");
  EXPECT_EQ(row.at(4), "4 %");
  b.rows[2].values[0] = 0.89;
  EXPECT_EQ(row_of(find_study("capacity")->run({{sweep.path(), b}}, {}), "scrub", 1).at(2), "> 8 %");
  b.rows[0].values[0] = 0.1;
  EXPECT_EQ(row_of(find_study("capacity")->run({{sweep.path(), b}}, {}), "scrub", 1).at(2), "0");
}

// Two sweeps of the same cells, the second 3 and 5 points worse: the difference is -4 on average.
TEST(VariantsStudy, PairsSweepsByName) {
  std::vector<StudySource> sources;
  for (const char* name : {"study_whole", "study_less"}) {
    Board b;
    b.sweep = name;
    b.row_names = {"test_accuracy", "forget_accuracy", "retain_accuracy", "overall"};
    for (int seed : {1, 2}) {
      Row row;
      row.cell = {fmt::format("{}{}", name, seed), "", "toy", "net", "scrub", "o", 0.1, seed};
      row.status = "ok";
      row.config_json = R"({"settings": {}})";
      row.values = {name[6] == 'w' ? 0.90 : 0.88 - 0.01 * (2 * seed - 1), 0.5, 0.9, 0.7};
      b.rows.push_back(row);
    }
    sources.push_back({".", b});
  }
  StudyOptions options;
  options.by = "sweep";
  const auto report = find_study("variants")->run(sources, options);
  ASSERT_EQ(report.tables.at(0).rows.size(), 3u);
  EXPECT_EQ(report.tables[0].rows[1].at(3), "study_whole");  // the board that is named first
  EXPECT_EQ(report.tables[0].rows[2].at(3), "study_less");
  EXPECT_EQ(report.tables[0].rows[2].at(9), "-4.0");
  EXPECT_EQ(report.tables[0].rows[2].at(13), "2");
}

TEST(ScalingStudy, FitsALine) {
  Board b;
  b.row_names = {"forget_accuracy", "unlearn_flops"};
  for (int i = 0; i < 5; ++i) {
    Row row;
    row.cell = {fmt::format("{}", i), "", "toy", "net", "neggrad", "o", 0.1, i};
    row.status = i < 2 ? "budget" : "ok";
    row.values = {0.9 - 0.1 * i, std::pow(10, 9 + i)};
    b.rows.push_back(row);
  }
  const auto row = row_of(find_study("scaling")->run({{"", b}}, {}), "neggrad", 2);
  EXPECT_EQ(row.at(3), "-0.100");
  EXPECT_EQ(row.at(5), "1.00");
  EXPECT_EQ(row.at(7), "5");
}

TEST(Published, TablesStandBesideOurs) {
  const fs::path folder = EXPUNGE_SOURCE_DIR "/data/published";
  EXPECT_EQ(published_names(folder), (std::vector<std::string>{"mubench", "multidelete"}));
  EXPECT_THROW(read_published(folder, "mubenhc"), UsageError);
  Board b;
  b.row_names = {"test_accuracy", "mia_success"};
  for (const auto& [dataset, method, accuracy] :
       {std::tuple{"nlvr2", "multidelete", 0.75}, {"toy", "scrub", 0.5}}) {
    Row row;
    row.cell = {method, method, dataset, "net", method, "o", 0.1, 1};
    row.status = "ok";
    row.values = {accuracy, 0.2};
    b.rows.push_back(row);
  }
  const auto l = make_leaderboard(b);
  const auto paper = read_published(folder, "multidelete");
  const auto& main = paper.tables.at(2);
  EXPECT_EQ(main.id, "S1.main");
  const auto column = std::find_if(main.columns.begin(), main.columns.end(),
                                   [](auto& c) { return c.title == "NLVR2 D_Test"; });
  const auto row =
      std::find_if(main.rows.begin(), main.rows.end(), [](auto& r) { return r.printed == "MULTIDELETE"; });
  EXPECT_EQ(row->values.at(static_cast<std::size_t>(column - main.columns.begin())), 80.8);
  const auto ours = ours_of(l, paper, *column, *row);
  EXPECT_EQ(ours.groups, 1u);
  EXPECT_DOUBLE_EQ(ours.value, 75);
  EXPECT_FALSE(ours.other_data);
  const auto text = render_published(l, read_published(folder, "mubench"));
  EXPECT_NE(text.find("SCRUB                 10.8      20.0 †      +9.20"), std::string::npos) << text;
  EXPECT_NE(text.find("copy error"), std::string::npos);
}

TEST(Published, EveryTableIsWhole) {
  const fs::path folder = EXPUNGE_SOURCE_DIR "/data/published";
  for (const auto& name : published_names(folder)) {
    const auto paper = read_published(folder, name);
    EXPECT_FALSE(paper.citation.empty());
    EXPECT_FALSE(paper.tables.empty());
    for (const auto& t : paper.tables) EXPECT_FALSE(t.rows.empty()) << t.id;
  }
}

TEST(Svg, AxesHaveRoundTicksAndTextIsEscaped) {
  const Axis axis(12.3, 87.1, 1, 0, 100);
  EXPECT_LE(axis.low, 12.3);
  EXPECT_GE(axis.high, 87.1);
  EXPECT_EQ(axis.step, 20);
  EXPECT_EQ(html_text("a<b & \"c\"\x01"), "a&lt;b &amp; &quot;c&quot; ");
  EXPECT_EQ(standalone("<svg viewBox=\"0 0 1 1\"></svg>").rfind("<?xml", 0), 0u);
}

}  // namespace
}  // namespace expunge::board
