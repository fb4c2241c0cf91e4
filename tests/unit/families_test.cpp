// Families of methods, and deletion requests that follow one another: means by hand.
#include <gtest/gtest.h>

#include "board/families.hpp"
#include "board/merge.hpp"
#include "board/study/study.hpp"
#include "methods/taxonomy.hpp"
#include "tests/unit/board_fixture.hpp"

namespace expunge::board {
namespace {

using test::SweepFolder;

TEST(Families, AreMeansOfTheirMethods) {
  const std::vector<std::string> methods = {"retrain", "scrub", "neggrad", "npo"};
  SweepFolder sweep(methods, {1});
  sweep.add_all({"retrain", "scrub"}, {1});
  auto low = SweepFolder::record("neggrad", 1);
  low.row[0] = 0.5;
  sweep.add(low);  // npo is missing: it has no mean
  const Merge merged = merge(sweep.path());
  const std::string text =
      render_families(make_leaderboard(merged.board), "corrupt", [](const std::string& m) {
        return methods::at_axis(methods::find_descriptor(m)->taxonomy, "corrupt").substr(0, 8);
      });
  EXPECT_NE(text.find("toy · net · ratio 0.1\ncorrupt "), std::string::npos) << text;
  EXPECT_NE(text.find("neggrad, npo, scrub"), std::string::npos) << text;
  EXPECT_NE(text.find("  70.0 "), std::string::npos) << text;  // (0.9 + 0.5) / 2
  EXPECT_EQ(text.find("retrain,"), std::string::npos) << text;
}

TEST(Families, FollowTheTaxonomysAxes) {
  const auto& scrub = methods::find_descriptor("scrub")->taxonomy;
  EXPECT_EQ(methods::at_axis(scrub, "measure"), scrub.measure);
  EXPECT_EQ(methods::at_axis(scrub, "parameters"), scrub.parameters);
  EXPECT_EQ(methods::at_axis(scrub, "colour"), "");
  for (const auto* d : methods::descriptors())
    for (const auto& axis : methods::kTaxonomyAxes)
      EXPECT_FALSE(methods::at_axis(d->taxonomy, axis).empty()) << d->name;
}

TEST(RequestsStudy, AveragesOverSeeds) {
  SweepFolder sweep({"scrub"}, {1, 2});
  for (const std::int64_t seed : {1, 2}) {
    auto r = SweepFolder::record("scrub", seed);
    r.config["settings"]["data"]["requests"] = {0.5, 0.5};
    r.request_columns = {"request",         "forget",        "flops",           "seconds",   "test_accuracy",
                         "forget_accuracy", "part_accuracy", "retain_accuracy", "from_start"};
    const double x = static_cast<double>(seed);
    r.requests = {1, 10, 100, x, 0.5 + x / 10, 0.4, 0.3, 0.2, x, 2, 20, 300, 1, 0.1, 0.4, 0.3, 0.2, 4};
    sweep.add(r);
  }
  const Merge merged = merge(sweep.path());
  const auto report = find_study("requests")->run({{sweep.path(), merged.board}}, {});
  const auto& rows = report.tables.at(0).rows;
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1], (std::vector<std::string>{"toy · net", "0.1", "scrub", "1", "10", "100", "1.50", "40.0",
                                               "30.0", "20.0", "65.0", "1.5", "2"}));
  EXPECT_EQ(rows[2][4], "30");  // both parts
  EXPECT_EQ(rows[2][10], "10.0");
  ASSERT_EQ(report.plots.size(), 1u);
  ASSERT_EQ(report.plots[0].series[0].y.size(), 2u);
  EXPECT_DOUBLE_EQ(report.plots[0].series[0].y[0], 0.65);
  EXPECT_DOUBLE_EQ(report.plots[0].series[0].y[1], 0.1);
}

TEST(RequestsStudy, SaysWhenThereAreNone) {
  SweepFolder sweep({"scrub"}, {1});
  sweep.add_all({"scrub"}, {1});
  const Merge merged = merge(sweep.path());
  const auto report = find_study("requests")->run({{sweep.path(), merged.board}}, {});
  EXPECT_EQ(report.tables.at(0).rows.size(), 1u);
  EXPECT_NE(report.notes.back().find("No cell on these boards has data.requests"), std::string::npos);
}

}  // namespace
}  // namespace expunge::board
