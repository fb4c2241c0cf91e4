// Rankings of boards made by hand: common cells, missing and failed cells, degenerate columns, and the null
// by simulation.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "board/ranking.hpp"
#include "board/render.hpp"
#include "core/error.hpp"
#include "core/rng.hpp"

namespace expunge::board {
namespace {

// Column "test_accuracy" (higher is better) and "unlearn_flops" (lower is better).
Board empty_board() {
  Board b;
  b.sweep = "made";
  b.sweep_sha256 = std::string(64, 'a');
  b.row_names = {"test_accuracy", "unlearn_flops"};
  return b;
}

void add(Board& b, const std::string& method, std::int64_t seed, double accuracy, double ratio = 0.1,
         const std::string& status = "ok") {
  Row row;
  row.cell = {fmt::format("{}-{}-{}", method, seed, ratio), "", "toy", "net", method, "o", ratio, seed};
  row.cell.key = fmt::format("dataset=toy/model=net/method={}/ratio={}/seed={}", method, ratio, seed);
  row.status = status;
  row.values = {accuracy, 1e9 * (1 - accuracy)};
  b.rows.push_back(row);
}

Ranking by_accuracy(const Leaderboard& l) { return rank_methods(l, *column_at(l, "test_accuracy")); }

std::vector<std::string> order(const Ranking& r) {
  std::vector<std::string> out;
  for (const auto& p : r.places) out.push_back(p.method);
  return out;
}

TEST(Ranking, ByHand) {
  Board b = empty_board();
  for (std::int64_t s = 0; s < 10; ++s) {
    const double d = 0.001 * static_cast<double>(s * s);
    add(b, "good", s, 0.9 + 0.0001 * static_cast<double>(s)), add(b, "middling", s, 0.8 - d),
        add(b, "bad", s, 0.5 - 2 * d), add(b, "retrain", s, 0.99);
  }
  const auto l = make_leaderboard(b);
  const auto r = by_accuracy(l);
  EXPECT_EQ(order(r), (std::vector<std::string>{"good", "middling", "bad"}));  // retrain takes no part
  EXPECT_EQ(r.places[0].rank, 1);
  EXPECT_EQ(r.places[2].rank, 3);
  EXPECT_EQ(r.common, 10u);
  EXPECT_FALSE(r.by_group);
  EXPECT_DOUBLE_EQ(r.friedman.statistic, 20);  // n (k - 1)
  EXPECT_EQ(r.pair(0, 2).wins, 10u);
  EXPECT_EQ(r.pair(2, 0).losses, 10u);
  EXPECT_NEAR(r.pair(0, 1).holm, 3 * 2.0 / 1024, 1e-12);  // three pairs, each with p = 2 / 2^10
  EXPECT_EQ(r.runs.size(), 3u);                           // all differ
  EXPECT_EQ(r.places[0].ties, "a");
  EXPECT_EQ(r.places[1].ties, "b");
  // The same order by cost, where lower is better.
  EXPECT_EQ(order(rank_methods(l, *column_at(l, "unlearn_flops"))), order(r));
}

TEST(Ranking, MissingAndFailedCellsLeaveTheCommonOnes) {
  Board b = empty_board();
  for (std::int64_t s = 0; s < 8; ++s) {
    add(b, "a", s, 0.8);
    add(b, "b", s, 0.7, 0.1, s == 0 ? "failed" : s == 1 ? "missing" : s == 2 ? "diverged" : "ok");
    if (s < 3) add(b, "rare", s, 0.99);
    add(b, "never", s, 0.5, 0.1, "failed");
  }
  const auto l = make_leaderboard(b);
  const auto r = by_accuracy(l);
  EXPECT_EQ(order(r), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(r.planned, 8u);
  EXPECT_EQ(r.common, 5u);
  EXPECT_EQ(r.places[1].cells, 5u);
  ASSERT_EQ(r.unranked.size(), 2u);
  EXPECT_EQ(r.unranked[0].reason, "no value in any cell");
  EXPECT_EQ(r.unranked[1].reason, "values in 3 of 8 cells, fewer than half");
  std::string notes;
  for (const auto& n : ranking_notes(l, r)) notes += n + "\n";
  EXPECT_NE(notes.find("Ranked on 5 of 8 cells, those that every ranked method has (b has 5)."),
            std::string::npos)
      << notes;
  EXPECT_NE(notes.find("Not ranked: rare"), std::string::npos) << notes;
}

TEST(Ranking, NoCommonCell) {
  Board b = empty_board();
  for (std::int64_t s = 0; s < 4; ++s) {
    add(b, "a", s, 0.8, 0.1, s < 2 ? "ok" : "missing");
    add(b, "b", s, 0.7, 0.1, s < 2 ? "missing" : "ok");
  }
  const auto l = make_leaderboard(b);
  EXPECT_EQ(by_accuracy(l).problem, "no cell is common to the 2 methods");
  EXPECT_NE(render_text(l, make_rankings(l)).find("No ranking: no cell is common"), std::string::npos);
  EXPECT_NE(render_html(l, make_rankings(l)).find("No ranking"), std::string::npos);
}

TEST(Ranking, OneSeedHasUnknownIntervalsNotZero) {
  Board b = empty_board();
  add(b, "a", 1, 0.8), add(b, "b", 1, 0.7), add(b, "c", 1, 0.6);
  const auto l = make_leaderboard(b);
  const auto r = by_accuracy(l);
  EXPECT_TRUE(std::isnan(r.places[0].interval.rank.low));
  EXPECT_TRUE(std::isnan(r.pair(0, 1).bounds.low));
  EXPECT_TRUE(std::isnan(l.groups[0].entries[0].values[0].bounds.low));
  EXPECT_TRUE(std::isnan(r.friedman.p));
  EXPECT_EQ(r.runs.size(), 1u);  // nothing is shown to differ
  const auto html = render_html(l, make_rankings(l));
  EXPECT_EQ(html.find("±0.0"), std::string::npos);
}

TEST(Ranking, ConstantColumnTies) {
  Board b = empty_board();
  for (std::int64_t s = 0; s < 7; ++s)
    for (const char* m : {"a", "b", "c"}) add(b, m, s, 0.5);
  const auto r = by_accuracy(make_leaderboard(b));
  EXPECT_TRUE(std::isnan(r.friedman.p));
  EXPECT_EQ(r.pair(0, 1).p, 1);
  EXPECT_EQ(r.pair(0, 1).ties, 7u);
  EXPECT_EQ(r.places[2].ties, "a");
  EXPECT_EQ(r.places[2].rank, 2);
}

TEST(Ranking, ValuesThatAreNotFiniteAreNoValues) {
  Board b = empty_board();
  for (std::int64_t s = 0; s < 4; ++s) {
    add(b, "a", s, s == 0 ? HUGE_VAL : 0.8);
    add(b, "b", s, s == 1 ? std::nan("") : 0.7);
  }
  const auto l = make_leaderboard(b);
  EXPECT_EQ(l.groups[0].entries[0].values[0].count, 3);
  EXPECT_DOUBLE_EQ(l.groups[0].entries[0].values[0].mean, 0.8);
  EXPECT_EQ(by_accuracy(l).common, 2u);
}

TEST(Ranking, ManyGroupsAreTheBlocks) {
  Board b = empty_board();
  for (int g = 1; g <= 7; ++g)
    for (std::int64_t s = 0; s < 3; ++s)
      for (const char* m : {"a", "b"})
        add(b, m, s, (m[0] == 'a' ? 0.8 + 0.003 * g * g : 0.7) + 0.001 * s, 0.01 * g);
  const auto r = by_accuracy(make_leaderboard(b));
  EXPECT_TRUE(r.by_group);
  EXPECT_EQ(r.blocks, 7u);
  EXPECT_EQ(r.common, 21u);
  EXPECT_NEAR(r.pair(0, 1).p, 2.0 / 128, 1e-12);
}

TEST(Ranking, BootstrapIntervalsFromFiftyCells) {
  Board b = empty_board();
  for (std::int64_t s = 0; s < 50; ++s)
    add(b, "a", s, 0.7 + 0.001 * static_cast<double>(s % 10)), add(b, "b", s, 0.6);
  const auto l = make_leaderboard(b);
  const auto& v = l.groups[0].entries[0].values[0];
  EXPECT_TRUE(v.bootstrap);
  const auto t = stat::t_interval(std::vector<double>{});
  EXPECT_TRUE(std::isnan(t.half_width));
  EXPECT_NEAR(v.bounds.high - v.bounds.low, 2 * 1.96 * 0.0029 / std::sqrt(50), 2e-4);
  EXPECT_FALSE(l.groups[0].entries[0].values[0].bounds.low > v.mean);
  const auto r = by_accuracy(l);
  EXPECT_GT(r.pair(0, 1).bounds.low, 0.1);
}

// Two names for one method: whatever seeds they drew, a difference is found no more often than alpha allows.
TEST(Ranking, IdenticalMethodsAreNotToldApart) {
  constexpr int kRuns = 600;
  int found = 0;
  for (int run = 0; run < kRuns; ++run) {
    const Rng rng = Rng(11, "null").sub(run);
    Board b = empty_board();
    std::vector<double> pool;
    for (std::size_t i = 0; i < 16; ++i) pool.push_back(0.8 + 0.03 * rng.normal(i));
    const auto permuted = rng.sub("order").permutation(16);
    for (std::int64_t s = 0; s < 8; ++s) {
      add(b, "twin_1", s, pool[permuted[s]]);
      add(b, "twin_2", s, pool[permuted[s + 8]]);
    }
    const auto r = by_accuracy(make_leaderboard(b));
    found += r.pair(0, 1).holm < kAlpha;
  }
  // Nominal 5 %, and 3 standard deviations of the simulation.
  EXPECT_LE(found / static_cast<double>(kRuns), 0.05 + 3 * std::sqrt(0.05 * 0.95 / kRuns));
}

TEST(Ranking, ColumnsAreChosenAndChecked) {
  Board b = empty_board();
  add(b, "a", 1, 0.8), add(b, "b", 1, 0.7);
  const auto l = make_leaderboard(b);
  EXPECT_EQ(l.columns[make_rankings(l, "unlearn_flops").front().column].name, "unlearn_flops");
  EXPECT_THROW(make_rankings(l, "unlearn_flop"), UsageError);
}

TEST(Ranking, RendersEverywhere) {
  Board b = empty_board();
  for (std::int64_t s = 0; s < 4; ++s)
    for (const char* m : {"rand_label", "scrub", "ssd"})
      add(b, m, s, 0.5 + 0.01 * static_cast<double>(s) + 0.1 * (m[1] == 'c'));
  const auto l = make_leaderboard(b);
  const auto rankings = make_rankings(l);
  EXPECT_NE(render_text(l, rankings).find("ranking by D_test"), std::string::npos);
  EXPECT_NE(render_markdown(l, rankings).find("## Ranking by D_test"), std::string::npos);
  const auto tex = render_latex(l, rankings);
  EXPECT_NE(tex.find("rand\\_label"), std::string::npos);
  EXPECT_NE(tex.find("\\toprule"), std::string::npos);
  const auto begins = [&](const std::string& what) {
    std::size_t n = 0;
    for (auto at = tex.find(what); at != std::string::npos; at = tex.find(what, at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(begins("\\begin{tabular}"), begins("\\end{tabular}"));
  EXPECT_EQ(begins("\\begin{table}"), 1 + rankings.size());
  const auto json = nlohmann::json::parse(render_json(l, rankings));
  EXPECT_EQ(json.at("rankings")[0].at("places")[0].at("method"), "scrub");
}

}  // namespace
}  // namespace expunge::board
