// Conditional dependence: limits that the theory gives, small cases by hand, and the order of selection.
#include "stat/dependence.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "core/rng.hpp"
#include "methods/noise_scale.hpp"

namespace expunge {
namespace {

constexpr std::int64_t kSamples = 500;

// Uniform columns x, z and what is made of them.
struct Data {
  std::vector<float> values;
  std::vector<double> sum, x;
};

Data draw() {
  Data out;
  const Rng rng(3, "dependence");
  for (std::uint64_t i = 0; i < kSamples; ++i) {
    const double x = rng.uniform(i, 0), z = rng.uniform(i, 1), other = rng.uniform(i, 2);
    for (double v : {x, z, other, 7.0}) out.values.push_back(static_cast<float>(v));
    out.sum.push_back(std::fmod(x + z, 1.0));
    out.x.push_back(x);
  }
  return out;
}

TEST(Dependence, IsNearOneOfAFunctionAndNearZeroOfNoise) {
  const Data d = draw();
  const stat::Columns c{d.values.data(), kSamples, 4};
  EXPECT_GT(stat::dependence(d.x, c, {0}), 0.98);
  EXPECT_LT(std::fabs(stat::dependence(d.x, c, {1})), 0.1);
  EXPECT_LT(std::fabs(stat::dependence(d.sum, c, {1})), 0.1);
}

TEST(Dependence, SeesWhatOnlyTwoColumnsTellTogether) {
  const Data d = draw();
  const stat::Columns c{d.values.data(), kSamples, 4};
  EXPECT_GT(stat::conditional_dependence(d.sum, c, 1, {0}), 0.8);
  EXPECT_LT(std::fabs(stat::conditional_dependence(d.sum, c, 2, {0})), 0.15);
}

TEST(Dependence, FollowsTheFormulasOnFourSamplesByHand) {
  // x = 0, 1, 3, 7; y = 1, 2, 4, 3. Neighbours of x: 1, 0, 1, 2. Ranks R = 1, 2, 4, 3, L = 4, 3, 1, 2.
  const std::vector<float> x = {0, 1, 3, 7};
  const std::vector<double> y = {1, 2, 4, 3};
  // min(R_i, R_M(i)) = 1, 1, 2, 3: top = 4 * 7 - (16 + 9 + 1 + 4) = -2; bottom = 0 + 3 + 3 + 4 = 10.
  EXPECT_NEAR(stat::dependence(y, {x.data(), 4, 1}, {0}), -0.2, 1e-12);
  // Given a column with neighbours 3, 2, 1, 0: min with R = 1, 2, 2, 1 (sum 6); with both columns distances
  // are those of the sum of squares.
  const std::vector<float> two = {0, 0, 1, 5, 3, 5.2f, 7, 0.1f};
  const double given = 1 + 2 + 2 + 1;
  const double all = 1 + 2 + 4 + 3;
  const double t = stat::conditional_dependence(y, {two.data(), 4, 2}, 0, {1});
  // Standardised, samples 0 and 3 lie 7 apart in the first column and 1 and 2 only 2 apart: neighbours 1, 2,
  // 1, 0 or the like; the value must be a multiple of 1 / (all - given).
  EXPECT_NEAR(t * (all - given), std::round(t * (all - given)), 1e-9);
}

TEST(Dependence, SelectsWhatMattersAndStops) {
  const Data d = draw();
  std::vector<double> y;
  for (std::size_t i = 0; i < d.x.size(); ++i)
    y.push_back(3 * d.x[i] + std::fmod(d.values[i * 4 + 1] * 5, 1.0));
  const auto chosen = stat::select_by_dependence(y, {d.values.data(), kSamples, 4}, 4);
  ASSERT_GE(chosen.size(), 2u);
  EXPECT_EQ(chosen[0], 0);
  EXPECT_EQ(chosen[1], 1);
  for (auto c : chosen) EXPECT_NE(c, 3);  // constant
  EXPECT_EQ(stat::select_by_dependence(y, {d.values.data(), kSamples, 4}, 1).size(), 1u);
  EXPECT_TRUE(stat::select_by_dependence({1}, {d.values.data(), 1, 4}, 4).empty());
}

// The first choice sorts instead of comparing all pairs; ties and equal values must not tell the difference.
TEST(Dependence, FirstChoiceIsThatOfAllPairs) {
  const Rng rng(5, "ties");
  constexpr std::int64_t kRows = 60, kColumns = 12;
  for (std::uint64_t round = 0; round < 20; ++round) {
    std::vector<float> x;
    std::vector<double> y;
    for (std::uint64_t i = 0; i < kRows; ++i) {
      for (std::uint64_t c = 0; c < kColumns; ++c)  // few different values in the first columns
        x.push_back(static_cast<float>(rng.below(2 + 3 * c, round, i * kColumns + c)));
      y.push_back(static_cast<double>(x[i * kColumns + round % kColumns]) +
                  0.5 * rng.normal(round, i + 1000));
    }
    const stat::Columns columns{x.data(), kRows, kColumns};
    double best = 0;
    std::int64_t expected = -1;
    for (std::int64_t c = 0; c < kColumns; ++c)
      if (const double t = stat::dependence(y, columns, {c}); t > best) best = t, expected = c;
    const auto chosen = stat::select_by_dependence(y, columns, 1);
    ASSERT_EQ(chosen.empty(), expected < 0);
    if (expected >= 0) EXPECT_EQ(chosen[0], expected) << round;
  }
}

TEST(NewtonRemoval, SigmaIsTheGuarantees) {
  EXPECT_NEAR(methods::noise_deviation(methods::NewtonRemoval{50000, 1, 0.001, 0.1, 0.01}), 6.215022920184,
              1e-9);
  EXPECT_NEAR(methods::noise_deviation(methods::NewtonRemoval{50000, 1, 0.01, 0.1, 0.01}), 0.006215022920,
              1e-12);
}

}  // namespace
}  // namespace expunge
