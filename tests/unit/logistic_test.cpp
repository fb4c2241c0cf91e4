#include "stat/logistic.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "tests/unit/metrics_golden.hpp"

namespace expunge {
namespace {

using Vector = std::vector<double>;
using Flags = std::vector<std::uint8_t>;

// Two overlapping clouds in two dimensions.
void clouds(std::size_t n, Vector& x, Flags& positive) {
  const Rng rng(11, "clouds");
  for (std::size_t i = 0; i < n; ++i) {
    positive.push_back(i % 3 == 0);
    for (std::uint64_t j = 0; j < 2; ++j) x.push_back(rng.normal(i, j) + (positive.back() ? 0.8 : 0.0) + 5.0);
  }
}

TEST(Logistic, ConstantFeatureLeavesTheLogOdds) {
  const Vector x(10, 3.25);
  const Flags positive{1, 0, 0, 0, 1, 0, 0, 0, 0, 0};
  const auto model = stat::fit_logistic(x, 1, positive);
  EXPECT_NEAR(model.intercept, std::log(2.0 / 8.0), 1e-9);
  EXPECT_EQ(model.weights[0], 0);
  const auto balanced = stat::fit_logistic(x, 1, positive, {.balanced = true});
  EXPECT_NEAR(balanced.intercept, 0, 1e-9);
}

TEST(Logistic, SatisfiesTheStationarityCondition) {
  Vector x;
  Flags positive;
  clouds(300, x, positive);
  const double c = 0.7;
  const auto model = stat::fit_logistic(x, 2, positive, {.c = c, .standardise = false});
  ASSERT_TRUE(model.converged);
  double g0 = model.weights[0], g1 = model.weights[1], gb = 0;
  for (std::size_t i = 0; i < 300; ++i) {
    const double z = model.weights[0] * x[2 * i] + model.weights[1] * x[2 * i + 1] + model.intercept;
    const double residual = c * (1 / (1 + std::exp(-z)) - positive[i]);
    g0 += residual * x[2 * i];
    g1 += residual * x[2 * i + 1];
    gb += residual;
  }
  EXPECT_NEAR(g0, 0, 1e-6);
  EXPECT_NEAR(g1, 0, 1e-6);
  EXPECT_NEAR(gb, 0, 1e-6);
}

TEST(Logistic, BalancedWeightsEqualRepeatedSamples) {
  Vector x;
  Flags positive;
  clouds(90, x, positive);  // 30 positive, 60 negative: weights 1.5 and 0.75
  const auto balanced = stat::fit_logistic(x, 2, positive, {.standardise = false, .balanced = true});
  for (std::size_t i = 0; i < 90; ++i)
    if (positive[i]) {
      positive.push_back(1);
      x.push_back(x[2 * i]);
      x.push_back(x[2 * i + 1]);
    }
  const auto repeated = stat::fit_logistic(x, 2, positive, {.c = 0.75, .standardise = false});
  EXPECT_NEAR(balanced.weights[0], repeated.weights[0], 1e-8);
  EXPECT_NEAR(balanced.weights[1], repeated.weights[1], 1e-8);
  EXPECT_NEAR(balanced.intercept, repeated.intercept, 1e-8);
}

TEST(Logistic, StandardisesByThePopulationDeviation) {
  const auto model = stat::fit_logistic(Vector{1, 3, 5, 7}, 1, Flags{0, 1, 0, 1});
  EXPECT_EQ(model.mean[0], 4);
  EXPECT_DOUBLE_EQ(model.deviation[0], std::sqrt(5.0));
}

TEST(Logistic, SeparableClassesStayFinite) {
  Vector x;
  Flags positive;
  for (int i = 0; i < 4000; ++i) {
    positive.push_back(i % 2);
    x.push_back(i % 2 ? 1e-7 * i : 2.3 + 1e-7 * i);
  }
  for (const double c : {1.0, 1e6}) {
    const auto model = stat::fit_logistic(x, 1, positive, {.c = c});
    EXPECT_TRUE(model.converged) << c;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double p = model.probability({&x[i], 1});
      ASSERT_TRUE(std::isfinite(p));
      ASSERT_EQ(p > 0.5, positive[i] == 1) << i;
    }
  }
}

TEST(Logistic, RefusesWhatHasNoFit) {
  EXPECT_THROW(stat::fit_logistic(Vector{1, 2}, 1, Flags{1, 1}), InternalError);
  EXPECT_THROW(stat::fit_logistic(Vector{}, 1, Flags{}), InternalError);
  EXPECT_THROW(stat::fit_logistic(Vector{1, 2, 3}, 1, Flags{1, 0}), InternalError);
  EXPECT_THROW(stat::fit_logistic(Vector{1, std::numeric_limits<double>::quiet_NaN()}, 1, Flags{1, 0}),
               InternalError);
}

TEST(Logistic, MatchesScikitLearn) {
  EXPUNGE_NEEDS_GOLDEN();
  const auto block = test::golden_block("membership_attack");
  ASSERT_EQ(block.at("runs").size(), 4u);
  for (const auto& run : block.at("runs")) {
    const auto features = run.at("features").get<std::vector<std::size_t>>();
    const auto take = [&](const nlohmann::json& row, Vector& out) {
      for (const auto j : features) out.push_back(row[j].get<double>());
    };
    Vector x;
    for (const auto& row : block.at("X")) take(row, x);
    const auto model =
        stat::fit_logistic(x, static_cast<std::int64_t>(features.size()), block.at("member").get<Flags>(),
                           {.c = run.at("C"), .standardise = run.at("standardised_on_train_fold")});
    const auto& full = run.at("full_fit");
    const auto near = [](double actual, double expected) {
      EXPECT_NEAR(actual, expected, 1e-4 * std::max(1.0, std::fabs(expected)));
    };
    for (std::size_t j = 0; j < features.size(); ++j) near(model.weights[j], full.at("coef")[j]);
    near(model.intercept, full.at("intercept"));
    double members = 0;
    for (std::size_t i = 0; i < block.at("X_forget").size(); ++i) {
      Vector sample;
      take(block.at("X_forget")[i], sample);
      near(model.probability(sample), full.at("forget_member_probability")[i]);
      members += model.decision(sample) > 0;
    }
    EXPECT_EQ(members / static_cast<double>(block.at("X_forget").size()),
              full.at("forget_success_rate").get<double>());
  }
}

}  // namespace
}  // namespace expunge
