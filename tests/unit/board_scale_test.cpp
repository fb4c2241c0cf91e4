// A board of 15,049 cells: statistics and the page stay within their size. (Seconds are in README.md: no test
// depends on time.)
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "board/render.hpp"
#include "core/files.hpp"
#include "core/rng.hpp"

namespace expunge::board {
namespace {

// 9 data sets x 4 models x 5 ratios x 21 methods x 4 seeds, cut at 15,049, with settings as the engine
// writes.
Board large_board() {
  Board b;
  b.sweep = "large";
  b.sweep_sha256 = std::string(64, 'a');
  b.row_names = {"test_accuracy", "forget_accuracy",   "retain_accuracy", "auc_gold_prob", "auc_gold_prob_sd",
                 "auc_correct",   "mia_success",       "mia_ratio",       "zrf",           "overall",
                 "unlearn_flops", "percent_of_retrain"};
  b.timing_names = {"unlearn", "wall"};
  const Rng rng(1, "large");
  for (int d = 0; d < 9; ++d)
    for (int a = 0; a < 4; ++a)
      for (int r = 1; r <= 5; ++r)
        for (int m = 0; m < 21; ++m)
          for (int s = 0; s < 4; ++s) {
            const std::size_t n = b.rows.size();
            if (n == 15049) return b;
            Row row;
            const std::string method = m == 0 ? "retrain" : fmt::format("method_{:02}", m);
            row.cell = {fmt::format("{:016x}", rng.bits(n)),
                        fmt::format("dataset=data_{}/model=model_{}/method={}/ratio={}/seed={}", d, a, method,
                                    0.02 * r, s),
                        fmt::format("data_{}", d),
                        fmt::format("model_{}", a),
                        method,
                        fmt::format("{:016x}", rng.bits(d * 10 + a, 1)),
                        0.02 * r,
                        s};
            row.status = n % 97 == 0 ? "missing" : n % 101 == 0 ? "diverged" : "ok";
            for (std::size_t c = 0; c < b.row_names.size(); ++c)
              row.values.push_back(row.status == "missing" ? std::nan("")
                                                           : 0.6 + 0.01 * m + 0.05 * rng.normal(n, c));
            row.timing = {10, 20};
            row.parameter_hash = fmt::format("{:032x}", rng.bits(n, 50));
            row.science_sha256 = fmt::format("{:064x}", rng.bits(n, 51));
            row.config_sha256 = fmt::format("{:064x}", rng.bits(n, 52));
            row.git_hash = std::string(40, 'c'), row.host = fmt::format("node{:03}", n % 64);
            nlohmann::json options;
            for (int o = 0; o < 25; ++o)
              options[fmt::format("option_{:02}_of_the_method", o)] = o < 5 ? 0.1 * m + o : o;
            row.config_json = nlohmann::json{
                {"settings",
                 {{"method_options", options},
                  {"seed", s},
                  {"dataset", row.cell.dataset},
                  {"data", {{"train_limit", 1000 * d}}}}},
                {"flops", 1e9 * (m + 1)},
                {"total_steps",
                 100 * r}}.dump();
            b.rows.push_back(std::move(row));
          }
  return b;
}

TEST(LargeBoard, PageStaysSmall) {
  const Board b = large_board();
  ASSERT_EQ(b.rows.size(), 15049u);
  const auto l = make_leaderboard(b);
  const auto rankings = make_rankings(l);
  ASSERT_FALSE(rankings.empty());
  EXPECT_EQ(rankings.front().places.size(), 20u);
  EXPECT_EQ(rankings.front().places.front().method, "method_20");  // the highest mean by construction
  EXPECT_TRUE(rankings.front().by_group);
  const auto html = render_html(l, rankings);
  EXPECT_LT(html.size(), 8'000'000u);
  EXPECT_NE(html.find(b.rows.back().cell.id), std::string::npos);
  // For looking at it by hand.
  if (const char* target = std::getenv("EXPUNGE_LARGE_PAGE")) write_file_atomic(target, html);
}

}  // namespace
}  // namespace expunge::board
