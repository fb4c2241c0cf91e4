// D_f in parts: sizes by hand, whole units, and what a job file may say about them.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "core/error.hpp"
#include "data/split.hpp"
#include "sweep/sweep.hpp"
#include "tests/unit/fake_pairs.hpp"
#include "tests/unit/store_fixture.hpp"

namespace expunge::data {
namespace {

// 40 edges between 4 and 5 nodes: 20 pairs, two samples each.
FakePairs graph() {
  std::vector<FakePair> edges;
  for (std::int64_t k = 0; k < 40; ++k) edges.push_back({k % 4, 4 + k % 20 / 4, 0, {}});
  return FakePairs(edges);
}

DataOptions in_parts(const std::string& unit, std::vector<double> requests) {
  DataOptions options;
  options.unit = unit;
  options.requests = std::move(requests);
  return options;
}

TEST(SplitRequests, AreConsecutivePartsOfTheDeletionOrder) {
  const auto data = graph();
  const auto splits = make_splits(data, in_parts("sample", {0.25, 0.5, 0.25}), Ratio::parse(0.3));
  ASSERT_EQ(splits.forget.size(), 12u);
  ASSERT_EQ(splits.requests.size(), 3u);
  std::size_t at = 0;
  for (const auto& [part, size] : {std::pair{0, 3u}, {1, 6u}, {2, 3u}}) {
    std::vector<std::int64_t> expected(splits.forget_order.begin() + static_cast<std::ptrdiff_t>(at),
                                       splits.forget_order.begin() + static_cast<std::ptrdiff_t>(at + size));
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(splits.requests[static_cast<std::size_t>(part)], expected);
    at += size;
  }
  EXPECT_EQ(split_sizes(data.info(), in_parts("sample", {0.25, 0.5, 0.25}), Ratio::parse(0.3)).requests,
            (std::vector<std::int64_t>{3, 6, 3}));
  EXPECT_TRUE(make_splits(data, in_parts("sample", {}), Ratio::parse(0.3)).requests.empty());
}

TEST(SplitRequests, CutNoUnit) {
  const auto data = graph();
  const auto splits =
      make_splits(data, in_parts("edge", {0.4, 0.6}), Ratio::parse(0.25));  // 5 pairs, 10 samples
  ASSERT_EQ(splits.requests.size(), 2u);
  EXPECT_EQ(splits.requests[0].size(), 4u);
  const auto odd = make_splits(data, in_parts("edge", {0.5, 0.5}), Ratio::parse(0.25));
  EXPECT_EQ(odd.requests[0].size(), 6u);  // the third pair is not cut
  std::set<std::pair<std::int64_t, std::int64_t>> first;
  for (auto id : odd.requests[0])
    first.insert({image_of(data, Side::kTrain, id), captioned_image(data, Side::kTrain, id)});
  for (auto id : odd.requests[1])
    EXPECT_FALSE(first.count({image_of(data, Side::kTrain, id), captioned_image(data, Side::kTrain, id)}));
}

TEST(SplitRequests, MayNotBeEmpty) {
  const auto data = graph();
  EXPECT_THROW(make_splits(data, in_parts("sample", {0.01, 0.99}), Ratio::parse(0.3)), ConfigError);
  EXPECT_THROW(split_sizes(data.info(), in_parts("sample", {0.01, 0.99}), Ratio::parse(0.3)), ConfigError);
  EXPECT_THROW(make_splits(data, in_parts("edge", {0.5, 0.25, 0.25}), Ratio::parse(0.1)), ConfigError);
}

class RequestsJob : public testing::Test {
 protected:
  sweep::Plan plan(const std::string& data) {
    const auto file = folder_ / "job.toml";
    write_file_atomic(file,
                      "[sweep]\ndataset = [\"fashion_mnist\"]\nmodel = [\"resnet8\"]\n"
                      "method = [\"retrain\", \"scrub\"]\nratio = [0.1]\nseed = [1]\n"
                      "[data]\ntrain_limit = 1000\ntest_limit = 100\n" +
                          data);
    return sweep::load(file);
  }
  test::ScratchFolder folder_;
};

TEST_F(RequestsJob, ArePricedOneByOneAndShareTheOriginal) {
  const auto whole = plan(""), parts = plan("requests = [0.2, 0.8]\n"), empty = plan("requests = []\n");
  EXPECT_EQ(empty.cells[0].id, whole.cells[0].id);
  EXPECT_EQ(parts.originals[0].id, whole.originals[0].id);
  EXPECT_NE(parts.cells[0].id, whole.cells[0].id);
  EXPECT_EQ(parts.cells[0].settings.at("data").at("requests"), (nlohmann::json{0.2, 0.8}));
  // retrain: 980 samples, then 900.
  EXPECT_NEAR(parts.cells[0].flops / whole.cells[0].flops, (980 + 900) / 900.0, 1e-12);
  EXPECT_EQ(parts.cells[1].retrain_flops, parts.cells[0].flops);
  EXPECT_GT(parts.cells[1].flops, whole.cells[1].flops);
}

TEST_F(RequestsJob, SaysWhatIsWrong) {
  const auto problem = [&](const std::string& data) -> std::string {
    try {
      plan(data);
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  };
  EXPECT_NE(problem("requests = [0.2, 0.7]\n").find("these add up to 0.9"), std::string::npos);
  EXPECT_NE(problem("requests = [1.5, -0.5]\n").find("requests"), std::string::npos);
  EXPECT_NE(problem("requests = [0.001, 0.999]\n").find("request 1 of 2 has none of the 100 samples"),
            std::string::npos);
}

}  // namespace
}  // namespace expunge::data
