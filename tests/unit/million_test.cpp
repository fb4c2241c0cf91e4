// What a sweep of a million cells needs: parts of it that do not grow with the number of cells beyond what is
// asserted here per cell, on boards small enough for a test. (A million cells themselves: README.md.)
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "board/joined.hpp"
#include "board/merge.hpp"
#include "board/render.hpp"
#include "board/settings_text.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "store/store_file.hpp"
#include "sweep/outline.hpp"
#include "sweep/plan_json.hpp"
#include "tests/unit/store_fixture.hpp"

namespace expunge::board {
namespace {

// Bytes of the heap that are in use.
double in_use() {
  const auto info = ::mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

std::string settings_of(std::int64_t seed, const std::string& original, int family) {
  nlohmann::json settings = {{"original_id", original}, {"seed", seed}, {"evaluate", {{"seed", 0}}}};
  for (int k = 0; k < 40; ++k)
    settings[fmt::format("some_setting_{}", k)] = fmt::format("value {} of {}", k, family);
  return nlohmann::json{{"settings", settings}, {"total_steps", 17}}.dump();
}

// groups x methods x seeds on two models, with values that differ.
Board board_of(int groups, int methods, int seeds) {
  Board b;
  b.sweep = "many";
  b.sweep_sha256 = std::string(64, 'a');
  b.row_names = {"test_accuracy", "forget_accuracy", "retain_accuracy", "overall"};
  b.timing_names = {"unlearn"};
  SettingsPool pool;
  b.rows.reserve(static_cast<std::size_t>(groups) * static_cast<std::size_t>(methods * seeds));
  for (int g = 0; g < groups; ++g)
    for (int m = 0; m < methods; ++m)
      for (int s = 0; s < seeds; ++s) {
        Row row;
        const std::string method = m == 0 ? "retrain" : fmt::format("method_{:02}", m);
        row.cell.dataset = "data", row.cell.model = fmt::format("model_{}", g % 2), row.cell.method = method;
        row.cell.ratio = 0.0001 * (1 + g / 2);
        row.cell.seed = s;
        row.cell.original_id = sha256_hex(row.cell.model).substr(0, 16);
        row.cell.key = fmt::format("dataset=data/model=model_{}/method={}/ratio={:.4f}/seed={}", g % 2,
                                   method, row.cell.ratio, s);
        row.cell.id = sha256_hex(row.cell.key).substr(0, 16);
        row.status = "ok";
        for (std::size_t c = 0; c < b.row_names.size(); ++c)
          row.values.push_back(0.5 + 0.4 * std::sin(g * 31 + m * 7 + s + static_cast<double>(c)));
        row.timing = {2};
        row.parameter_hash = std::string(32, 'b');
        row.science_sha256 = sha256_hex(row.cell.id), row.config_sha256 = sha256_hex(row.cell.key);
        row.config_json = pool.add(settings_of(s, row.cell.original_id, g * methods + m));
        row.git_hash = std::string(40, 'c'), row.host = "node";
        b.rows.push_back(std::move(row));
      }
  return b;
}

TEST(SettingsText, AnyTextComesBack) {
  SettingsPool pool;
  const std::string id = "0123456789abcdef";
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("no JSON \"seed\":"), settings_of(7, id, 1),
        settings_of(-7, id, 1), settings_of(INT64_MIN, id, 1), std::string(R"({"seed":007})"),
        std::string(R"({"seed":1.5})"), std::string(R"({"seed":99999999999999999999})"),
        std::string(R"({"seed":-})"), std::string(R"({"original_id":"0123456789ABCDEF","seed":1})"),
        std::string(R"({"original_id":"012)"), std::string(R"({"seed":1,"original_id":"0123456789abcdef"})"),
        std::string("\"seed\":3\0x", 10)}) {
    EXPECT_EQ(SettingsText(text).text(), text);
    EXPECT_EQ(pool.add(text).text(), text);
    EXPECT_EQ(pool.add(text).size(), text.size());
    EXPECT_EQ(pool.add(text).empty(), text.empty());
  }
}

TEST(SettingsText, CellsThatDifferInSeedAndOriginalShare) {
  SettingsPool pool;
  const auto a = pool.add(settings_of(1, "0123456789abcdef", 5)),
             b = pool.add(settings_of(-20, "00000000000000ff", 5)),
             other = pool.add(settings_of(1, "0123456789abcdef", 6));
  EXPECT_EQ(a.frame(), b.frame());
  EXPECT_NE(a.frame(), other.frame());
  EXPECT_FALSE(a == b);
  EXPECT_EQ(b.text(), settings_of(-20, "00000000000000ff", 5));
}

// 5,000 cells with a kilobyte and a half of settings each, as 25 seeds of 200 (method, group).
TEST(Million, ABoardTakesLittleMemoryACell) {
  test::ScratchFolder folder;
  const fs::path path = folder / "board.h5";
  std::string science;
  {
    const double before = in_use();
    const Board b = board_of(10, 20, 25);
    ASSERT_EQ(b.rows.size(), 5000u);
    EXPECT_GT(b.rows[0].config_json.size(), 1400u);
    EXPECT_LT((in_use() - before) / 5000, 1500);
    write_board(path, b);
    science = science_sha256(b);
  }
  const double before = in_use();
  const Board back = read_board(path);
  EXPECT_LT((in_use() - before) / 5000, 1500);
  EXPECT_EQ(science_sha256(back), science);
  for (const std::size_t i : {0u, 1u, 2047u, 2048u, 2100u, 4999u}) {
    const auto seed = static_cast<std::int64_t>(i % 25);
    EXPECT_EQ(back.rows[i].config_json.text(),
              settings_of(seed, back.rows[i].cell.original_id, static_cast<int>(i / 25)));
  }
}

TEST(Million, PlansTakeLittleMemoryACell) {
  test::ScratchFolder folder;
  std::string seeds;
  for (int s = 0; s < 1000; ++s) seeds += fmt::format("{},", s);
  write_file_atomic(folder / "job.toml", fmt::format(R"(
[sweep]
name = "many"
dataset = ["cifar10"]
model = ["resnet20", "resnet56"]
method = ["retrain", "finetune", "neggrad", "scrub", "salun"]
ratio = [0.01, 0.02]
seed = [{}]
)",
                                                     seeds));
  double before = in_use();
  const auto plan = sweep::load_outline(folder / "job.toml");
  ASSERT_EQ(plan.cells.size(), 20000u);
  EXPECT_LT((in_use() - before) / 20000, 800);
  write_file_atomic(folder / "plan.json", sweep::plan_text(plan));
  before = in_use();
  const auto read = read_plan(folder / "plan.json");
  EXPECT_LT((in_use() - before) / 20000, 800);
  ASSERT_EQ(read.cells.size(), 20000u);
  EXPECT_EQ(read.sha256, plan.sha256);
  EXPECT_EQ(read.row_names, plan.row_names);
  for (const std::size_t i : {0u, 777u, 19999u}) {
    const auto& a = read.cells[i];
    const auto& b = plan.cells[i];
    EXPECT_EQ(std::tie(a.id, a.key, a.dataset, a.model, a.method, a.seed),
              std::tie(b.id, b.key, b.dataset, b.model, b.method, b.seed));
    EXPECT_EQ(a.ratio, b.ratio.value());
    EXPECT_EQ(a.original_id, plan.originals[b.original].id);
  }
}

// 1,500 groups of 20 methods and 2 seeds.
TEST(Million, ThePageOfALargeBoardStaysSmallAndSaysWhatIsMissing) {
  const Board b = board_of(1500, 20, 2);
  const auto l = make_leaderboard(b);
  const auto html = render_html(l, make_rankings(l));
  EXPECT_LT(html.size(), 6'000'000u);
  EXPECT_NE(html.find("its 1500 groups are joined over ratios"), std::string::npos);
  EXPECT_NE(html.find("cells are not listed"), std::string::npos);
  EXPECT_NE(html.find("data · model_1 · over 750 ratios"), std::string::npos);
  EXPECT_EQ(html.find(b.rows.back().cell.id), std::string::npos);
  EXPECT_EQ(html.find("data-e=\""), std::string::npos);
  EXPECT_EQ(html.find("A method's name opens"), std::string::npos);
  EXPECT_NE(html.find("some_setting_3"), std::string::npos);  // the settings of most cells stay
}

TEST(Joined, MeansOfMeansByHand) {
  Board b;
  b.row_names = {"test_accuracy"};
  const auto add = [&](const char* data, const char* model, double ratio, const char* method, double value) {
    Row row;
    row.cell.dataset = data, row.cell.model = model, row.cell.method = method, row.cell.ratio = ratio;
    row.status = std::isnan(value) ? "failed" : "ok";
    row.values = {value};
    b.rows.push_back(row);
  };
  add("a", "m", 0.1, "scrub", 0.5), add("a", "m", 0.1, "scrub", 0.7), add("a", "m", 0.2, "scrub", 0.9);
  add("a", "m", 0.2, "salun", 0.7), add("a", "n", 0.1, "salun", std::nan(""));
  add("z", "m", 0.1, "scrub", 0.3);
  const auto l = make_leaderboard(b);
  ASSERT_EQ(l.groups.size(), 4u);
  const auto as_it_is = joined_to_fit(l, 3, 1 << 20);
  EXPECT_EQ(as_it_is.over, "");
  EXPECT_EQ(as_it_is.leaderboard.groups.size(), 4u);
  const auto by_model = joined_to_fit(l, 3, table_bytes(l, 3) - 1);
  EXPECT_EQ(by_model.over, "ratios");
  const auto& groups = by_model.leaderboard.groups;
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].over, "over 2 ratios");
  ASSERT_EQ(groups[0].entries.size(), 2u);
  EXPECT_EQ(groups[0].entries[0].method, "salun");
  EXPECT_EQ(groups[0].entries[1].values[0].count, 2);
  EXPECT_NEAR(groups[0].entries[1].values[0].mean, (0.6 + 0.9) / 2, 1e-12);
  EXPECT_TRUE(std::isnan(groups[0].entries[1].values[0].half_width));
  EXPECT_EQ(groups[0].entries[1].ok, 3u);
  EXPECT_TRUE(groups[0].entries[1].best[0]);
  EXPECT_FALSE(groups[0].entries[0].best[0]);
  EXPECT_EQ(groups[1].entries[0].failed, 1u);
  EXPECT_EQ(groups[1].entries[0].values[0].count, 0);
  EXPECT_TRUE(std::isnan(groups[1].entries[0].values[0].mean));
  const auto all = joined_to_fit(l, 3, 0);
  EXPECT_EQ(all.over, "ratios, models and data sets");
  ASSERT_EQ(all.leaderboard.groups.size(), 1u);
  EXPECT_EQ(all.leaderboard.groups[0].over, "over 2 ratios, 2 models, 2 data sets");
  EXPECT_NEAR(all.leaderboard.groups[0].entries[1].values[0].mean, (0.6 + 0.9 + 0.3) / 3, 1e-12);
}

// Beyond kBootstrapUpTo values resampling is left, so that time and memory do not grow with the cells'
// square.
TEST(Million, ManyValuesHaveStudentsInterval) {
  const auto intervals = [](int seeds) {
    const Board b = board_of(1, 2, seeds);
    const auto l = make_leaderboard(b);
    return l.groups[0].entries[1].values[0];
  };
  EXPECT_TRUE(intervals(static_cast<int>(kBootstrapFrom)).bootstrap);
  const auto many = intervals(static_cast<int>(kBootstrapUpTo) + 1);
  EXPECT_FALSE(many.bootstrap);
  EXPECT_NEAR(many.bounds.high - many.mean, many.half_width, 1e-12);
  EXPECT_GT(many.half_width, 0);
}

TEST(Million, JsonIsWrittenPartByPart) {
  const Board b = board_of(2, 3, 2);
  const auto l = make_leaderboard(b);
  std::size_t longest = 0, total = 0;
  write_json(l, make_rankings(l), [&](std::string_view part) {
    longest = std::max(longest, part.size());
    total += part.size();
  });
  const auto text = render_json(l, make_rankings(l));
  EXPECT_EQ(text.size(), total);
  EXPECT_LT(longest, total / 2);
  EXPECT_EQ(nlohmann::json::parse(text).dump(1) + "\n", text);
}

}  // namespace
}  // namespace expunge::board
