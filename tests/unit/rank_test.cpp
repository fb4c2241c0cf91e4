#include "stat/rank.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/unit/metrics_golden.hpp"

namespace expunge {
namespace {

using Scores = std::vector<double>;

// The definition, pair by pair.
double brute_force_auc(const Scores& positives, const Scores& negatives) {
  double sum = 0;
  for (const double p : positives)
    for (const double n : negatives) sum += p > n ? 1 : p == n ? 0.5 : 0;
  return sum / static_cast<double>(positives.size() * negatives.size());
}

// Scores on a grid of `levels` values, so that ties occur.
Scores grid(std::int64_t n, std::uint64_t levels, std::uint64_t seed) {
  const Rng rng(seed, "rank test");
  Scores scores;
  for (std::int64_t i = 0; i < n; ++i)
    scores.push_back(static_cast<double>(rng.below(levels, static_cast<std::uint64_t>(i))) / 7);
  return scores;
}

TEST(Rank, CountsPairsByHand) {
  // 3 beats 2 and 1; 1 loses to 2 and ties with 1.
  EXPECT_EQ(stat::doubled_wins(Scores{3, 1}, Scores{2, 1}), (std::vector<std::int64_t>{4, 1}));
  EXPECT_EQ(stat::auc(Scores{3, 1}, Scores{2, 1}), 2.5 / 4);
}

TEST(Rank, EqualsTheDefinitionOnRandomScores) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Scores positives = grid(37, 3 + 2 * seed, seed), negatives = grid(23, 3 + 2 * seed, seed + 100);
    EXPECT_NEAR(stat::auc(positives, negatives), brute_force_auc(positives, negatives), 1e-14)
        << "seed " << seed;
  }
}

TEST(Rank, MatchesScikitLearn) {
  EXPUNGE_NEEDS_GOLDEN();
  const auto cases = test::golden_block("roc_auc").at("cases");
  ASSERT_EQ(cases.size(), 8u);
  for (const auto& c : cases) {
    Scores positives, negatives;
    for (std::size_t i = 0; i < c.at("labels").size(); ++i)
      (c.at("labels")[i] == 1 ? positives : negatives).push_back(c.at("scores")[i].get<double>());
    EXPECT_NEAR(stat::auc(positives, negatives), c.at("auc").get<double>(), 1e-12) << c.at("name");
  }
}

TEST(Rank, OneClassAgainstTheOthersMatchesScikitLearn) {
  EXPUNGE_NEEDS_GOLDEN();
  const auto block = test::golden_block("roc_auc").at("multiclass");
  for (std::size_t k = 0; k < 3; ++k) {
    Scores positives, negatives;
    for (std::size_t i = 0; i < block.at("labels").size(); ++i)
      (block.at("labels")[i] == k ? positives : negatives)
          .push_back(block.at("probabilities")[i][k].get<double>());
    EXPECT_NEAR(stat::auc(positives, negatives), block.at("per_class_ovr")[k].get<double>(), 1e-12)
        << "class " << k;
  }
}

TEST(Rank, ZeroOneScoresGiveTheAccuracyIdentity) {
  Scores retained(10, 0.0), deleted(10, 0.0);
  std::fill_n(retained.begin(), 7, 1.0);  // accuracy 0.7
  std::fill_n(deleted.begin(), 4, 1.0);   // accuracy 0.4
  EXPECT_NEAR(stat::auc(retained, deleted), 0.65, 1e-15);
}

TEST(Rank, IgnoresOrderAndMonotoneMaps) {
  const Scores positives = grid(101, 40, 1), negatives = grid(67, 40, 2);
  Scores shuffled, mapped_positives, mapped_negatives;
  for (const auto i : Rng(3, "order").permutation(101))
    shuffled.push_back(positives[static_cast<std::size_t>(i)]);
  for (const double x : positives) mapped_positives.push_back(1 / (1 + std::exp(-x)));
  for (const double x : negatives) mapped_negatives.push_back(1 / (1 + std::exp(-x)));
  EXPECT_EQ(stat::auc(shuffled, negatives), stat::auc(positives, negatives));
  EXPECT_EQ(stat::auc(mapped_positives, mapped_negatives), stat::auc(positives, negatives));
  EXPECT_NEAR(stat::auc(negatives, positives), 1 - stat::auc(positives, negatives), 1e-15);
}

TEST(Rank, IsUndefinedWithoutSamplesOrWithNaN) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(stat::auc(Scores{}, Scores{1})));
  EXPECT_TRUE(std::isnan(stat::auc(Scores{1}, Scores{})));
  EXPECT_TRUE(std::isnan(stat::auc(Scores{1, nan}, Scores{1})));
  EXPECT_TRUE(std::isnan(stat::resampled_auc(Scores{1, 2}, Scores{nan}, 3, Rng(1, "x")).mean));
  EXPECT_TRUE(std::isnan(stat::resampled_auc(Scores{1, 2}, Scores{}, 3, Rng(1, "x")).deviation));
}

TEST(ResampledAuc, EqualsTheDefinitionOverTheKeyedSubsets) {
  const Scores positives = grid(60, 25, 5), negatives = grid(13, 25, 6);
  const Rng rng(7, "auc");
  const std::int64_t resamples = 31;
  std::vector<double> values;
  for (std::uint64_t r = 0; r < 31; ++r) {
    Scores subset;
    for (const auto i : rng.sub(r).sample(13, 60)) subset.push_back(positives[static_cast<std::size_t>(i)]);
    values.push_back(brute_force_auc(subset, negatives));
  }
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / 31;
  double squares = 0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  const auto result = stat::resampled_auc(positives, negatives, resamples, rng);
  EXPECT_NEAR(result.mean, mean, 1e-14);
  EXPECT_NEAR(result.deviation, std::sqrt(squares / 30), 1e-14);
  EXPECT_GT(result.deviation, 0);
}

TEST(ResampledAuc, IsKeyed) {
  const Scores positives = grid(200, 90, 5), negatives = grid(20, 90, 6);
  const auto once = stat::resampled_auc(positives, negatives, 40, Rng(1, "auc"));
  const auto again = stat::resampled_auc(positives, negatives, 40, Rng(1, "auc"));
  const auto other = stat::resampled_auc(positives, negatives, 40, Rng(2, "auc"));
  EXPECT_EQ(once.mean, again.mean);
  EXPECT_EQ(once.deviation, again.deviation);
  EXPECT_NE(once.mean, other.mean);
}

TEST(ResampledAuc, TakesAllOfASmallerSide) {
  const Scores positives = grid(9, 20, 5), negatives = grid(30, 20, 6);
  const auto result = stat::resampled_auc(positives, negatives, 500, Rng(1, "auc"));
  EXPECT_EQ(result.mean, stat::auc(positives, negatives));
  EXPECT_EQ(result.deviation, 0);
}

}  // namespace
}  // namespace expunge
