// Statistics by hand values, in degenerate cases, and by simulation (keyed draws: the same every time).
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.hpp"
#include "stat/aggregate.hpp"
#include "stat/bootstrap.hpp"
#include "stat/ensembles.hpp"
#include "stat/intervals.hpp"
#include "stat/line.hpp"
#include "stat/rank.hpp"
#include "stat/ranking.hpp"
#include "stat/svm.hpp"
#include "stat/two_samples.hpp"
#include "stat/variance.hpp"

namespace expunge::stat {
namespace {

using Values = std::vector<double>;

Values normals(const Rng& rng, std::size_t n) {
  Values out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(rng.normal(i));
  return out;
}

TEST(Coverage, StudentOverThreeToFiveSeeds) {
  for (const std::size_t n : {3u, 4u, 5u}) {
    int covered = 0;
    constexpr int kRuns = 20000;
    for (int r = 0; r < kRuns; ++r) {
      const auto t = t_interval(normals(Rng(1, "t").sub(n).sub(r), n));
      covered += std::abs(t.mean) <= t.half_width;
    }
    EXPECT_NEAR(covered / static_cast<double>(kRuns), 0.95, 0.01) << n;
  }
}

TEST(Coverage, BcaOverFiftyValues) {
  for (const bool skewed : {false, true}) {
    int covered = 0;
    constexpr int kRuns = 1000;
    const double truth = skewed ? 1 : 0;
    for (int r = 0; r < kRuns; ++r) {
      const Rng rng = Rng(2, "bca").sub(skewed).sub(r);
      Values v = normals(rng, skewed ? 100 : 50);
      if (skewed)  // exponential with mean 1
        for (std::size_t i = 0; i < v.size(); ++i) v[i] = -std::log1p(-rng.uniform(i, 7));
      const Bounds b = bca_interval(v, 0.95, 1000, Rng(3, "resample").sub(r));
      covered += b.low <= truth && truth <= b.high;
    }
    const double share = covered / static_cast<double>(kRuns);
    EXPECT_GE(share, 0.93) << skewed;
    EXPECT_LE(share, 0.97) << skewed;
  }
}

TEST(Bca, DegenerateValues) {
  const Rng rng(0, "x");
  EXPECT_TRUE(std::isnan(bca_interval(Values{1}, 0.95, 100, rng).low));
  const Bounds equal = bca_interval(Values(60, 0.25), 0.95, 100, rng);
  EXPECT_EQ(equal.low, 0.25);
  EXPECT_EQ(equal.high, 0.25);
  EXPECT_TRUE(std::isnan(bca_interval(Values{1, std::nan(""), 3}, 0.95, 100, rng).low));
}

TEST(Resample, IsKeyedAndUniform) {
  const Rng rng(5, "r");
  EXPECT_EQ(resample(rng, 3, 17), resample(rng, 3, 17));
  EXPECT_NE(resample(rng, 3, 17), resample(rng, 4, 17));
  std::vector<int> counts(7, 0);
  for (int r = 0; r < 1000; ++r)
    for (const auto i : resample(rng, r, 7)) ++counts.at(i);
  for (const int c : counts) EXPECT_NEAR(c, 1000, 120);  // 4 standard deviations
}

TEST(Ranks, ByHand) {
  EXPECT_EQ(descending_ranks(Values{0.2, 0.9, 0.5}), (Values{3, 1, 2}));
  EXPECT_EQ(descending_ranks(Values{1, 2, 2, 0}), (Values{3, 1.5, 1.5, 4}));
  EXPECT_EQ(average_ranks(Values{3, 2, 1, 1, 2, 3}, 3), (Values{2, 2, 2}));
}

TEST(FriedmanTest, DegenerateTables) {
  EXPECT_TRUE(std::isnan(friedman(Values{1, 2, 3}, 3).p));                    // one block
  EXPECT_TRUE(std::isnan(friedman(Values{1, 2, 2, 1}, 2).p));                 // two methods
  EXPECT_TRUE(std::isnan(friedman(Values{5, 5, 5, 5, 5, 5}, 3).p));           // constant
  const auto same = friedman(Values{3, 2, 1, 3, 2, 1, 3, 2, 1, 3, 2, 1}, 3);  // every block ranks alike
  EXPECT_DOUBLE_EQ(same.statistic, 8);                                        // n (k - 1), the most there is
  EXPECT_TRUE(std::isinf(same.f));
  EXPECT_EQ(same.f_p, 0);
  EXPECT_TRUE(std::isnan(rank_intervals(Values{1, 2}, 2, 0.95, 10, Rng(0, "x"))[0].rank.low));
}

TEST(RankIntervals, CertainOrderHasNoSpread) {
  Values merits;
  for (int b = 0; b < 8; ++b) merits.insert(merits.end(), {3.0 + b, 2.0 + b, 1.0 + b});
  const auto intervals = rank_intervals(merits, 3, 0.95, 500, Rng(0, "x"));
  for (std::size_t m = 0; m < 3; ++m) {
    EXPECT_EQ(intervals[m].rank.low, 1.0 + m);
    EXPECT_EQ(intervals[m].rank.high, 1.0 + m);
    EXPECT_EQ(intervals[m].place.high, 1.0 + m);
  }
}

TEST(SignedRankTest, Degenerate) {
  EXPECT_EQ(signed_rank(Values{0, 0, 0}).p, 1);
  EXPECT_TRUE(std::isnan(signed_rank(Values{}).p));
  EXPECT_TRUE(std::isnan(signed_rank(Values{1, std::nan("")}).p));
  EXPECT_DOUBLE_EQ(signed_rank(Values{1, 2, 3, 4, 5}).p, 2.0 / 32);  // both tails of 2^5 sign patterns
  EXPECT_EQ(paired_t(Values{0, 0}), 1);
  EXPECT_TRUE(std::isnan(paired_t(Values{1})));
}

TEST(Holm, KeepsUndefinedOnesOut) {
  const auto adjusted = holm(Values{0.01, std::nan(""), 0.04});
  EXPECT_DOUBLE_EQ(adjusted[0], 0.02);
  EXPECT_TRUE(std::isnan(adjusted[1]));
  EXPECT_DOUBLE_EQ(adjusted[2], 0.04);
}

TEST(TieGroups, MaximalRuns) {
  // 0 and 1 alike, 1 and 2 alike, 0 and 2 differ, 3 differs from all.
  std::vector<bool> differ(16, false);
  const auto set = [&](int i, int j) { differ[i * 4 + j] = differ[j * 4 + i] = true; };
  set(0, 2), set(0, 3), set(1, 3), set(2, 3);
  const auto runs = tie_groups({0, 1, 2, 3}, differ);
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].first, 0u);
  EXPECT_EQ(runs[0].last, 1u);
  EXPECT_EQ(runs[1].first, 1u);
  EXPECT_EQ(runs[1].last, 2u);
  EXPECT_EQ(runs[2].first, 3u);
  EXPECT_EQ(runs[2].last, 3u);
  EXPECT_EQ(tie_groups({0, 1, 2, 3}, std::vector<bool>(16, false)).size(), 1u);
}

TEST(LineFit, Degenerate) {
  EXPECT_TRUE(std::isnan(fit_line(Values{1, 1}, Values{2, 3}).slope));
  const auto two = fit_line(Values{1, 2}, Values{2, 4});
  EXPECT_DOUBLE_EQ(two.slope, 2);
  EXPECT_TRUE(std::isnan(two.slope_half));
  const auto flat = fit_line(Values{1, 2, 3}, Values{5, 5, 5});
  EXPECT_EQ(flat.slope, 0);
  EXPECT_TRUE(std::isnan(flat.r2));
  EXPECT_EQ(flat.p, 1);
}

TEST(KolmogorovSmirnovTest, SmallCasesByHand) {
  const auto apart = kolmogorov_smirnov(Values{1, 2, 3}, Values{4, 5, 6});
  EXPECT_EQ(apart.distance, 1);
  EXPECT_NEAR(apart.p, 2.0 / 20, 1e-12);  // 2 of the C(6, 3) orders
  EXPECT_EQ(kolmogorov_smirnov(Values{1, 2}, Values{1, 2}).p, 1);
  EXPECT_TRUE(std::isnan(kolmogorov_smirnov(Values{}, Values{1}).p));
}

TEST(VarianceComponentsTest, LevelsWithoutRepetitionAreUnknown) {
  const std::vector<Nested> one_original = {{0, 1, 0.1}, {0, 2, 0.3}, {0, 3, 0.5}};
  const auto v = variance_components(one_original);
  EXPECT_TRUE(std::isnan(v.training));
  EXPECT_TRUE(std::isnan(v.evaluation));
  EXPECT_NEAR(v.unlearning, 0.04, 1e-15);
  EXPECT_EQ(v.share(v.unlearning), 1);
}

TEST(VarianceComponentsTest, RecoversKnownVariancesOfAnUnbalancedDesign) {
  std::vector<Nested> rows;
  const Rng rng(4, "variance");
  for (int t = 0; t < 400; ++t)
    for (int u = 0; u < 2 + t % 4; ++u)
      for (int e = 0; e < 1 + (t + u) % 3; ++e)
        rows.push_back({t, u,
                        2 * rng.sub("a").normal(t) + 1 * rng.sub("b").normal(t, u) +
                            0.5 * rng.sub("c").normal(t * 100 + u, e)});
  const auto v = variance_components(rows);
  EXPECT_NEAR(v.training, 4, 0.6);
  EXPECT_NEAR(v.unlearning, 1, 0.12);
  EXPECT_NEAR(v.evaluation, 0.25, 0.03);
}

TEST(SeedsForGap, SmallestNumberThatIsEnough) {
  for (const double gap : {0.5, 0.1, 0.02}) {
    const auto n = seeds_for_gap(0.1, gap);
    const auto half = [&](double m) { return student_t_quantile(0.975, m - 1) * 0.1 / std::sqrt(m); };
    EXPECT_LE(half(static_cast<double>(n)), gap);
    if (n > 2) {
      EXPECT_GT(half(static_cast<double>(n - 1)), gap);
    }
  }
  EXPECT_EQ(seeds_for_gap(0, 0.1), 0);
  EXPECT_EQ(seeds_for_gap(std::nan(""), 0.1), 0);
}

TEST(HarmonicMean, Edges) {
  EXPECT_EQ(harmonic_mean(Values{0, 1}), 0);
  EXPECT_TRUE(std::isnan(harmonic_mean(Values{-1, 1})));
  EXPECT_TRUE(std::isnan(harmonic_mean(Values{})));
}

TEST(Svm, SeparableAndBadInput) {
  Values x;
  std::vector<std::uint8_t> y;
  for (int i = 0; i < 20; ++i) x.push_back(i < 10 ? 0.01 * i : 1 + 0.01 * i), y.push_back(i < 10);
  const auto model = fit_svm(x, 1, y);
  EXPECT_TRUE(model.converged);
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(model.decision({&x[i], 1}) > 0, y[i] == 1);
  EXPECT_THROW(fit_svm(x, 1, std::vector<std::uint8_t>(20, 1)), InternalError);
}

TEST(LikelihoodRatiosTest, AlikeEnsemblesAreNotToldApart) {
  Values positive, negative;
  for (int s = 0; s < 3000; ++s) {
    const Rng rng = Rng(6, "lira").sub(s);
    const auto r = likelihood_ratios(normals(rng.sub("u"), 5), normals(rng.sub("r"), 5));
    positive.insert(positive.end(), r.unlearned.begin(), r.unlearned.end());
    negative.insert(negative.end(), r.retrained.begin(), r.retrained.end());
  }
  EXPECT_NEAR(auc(positive, negative), 0.5, 0.015);
}

TEST(LikelihoodRatiosTest, DistantEnsemblesAre) {
  const auto r = likelihood_ratios(Values{10, 10.1, 9.9, 10.2}, Values{0, 0.1, -0.1, 0.2});
  EXPECT_EQ(auc(r.unlearned, r.retrained), 1);
  EXPECT_GT(klom(Values{0, 0.1, -0.1, 0.2}, Values{10, 10.1, 9.9, 10.2}), 5);
  EXPECT_EQ(klom(Values{1, 1}, Values{1, 1}), 0);
}

}  // namespace
}  // namespace expunge::stat
