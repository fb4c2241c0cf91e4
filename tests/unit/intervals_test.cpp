#include "stat/intervals.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

namespace expunge::stat {
namespace {

TEST(Intervals, MeanAndDeviationByHand) {
  const std::vector<double> v = {2, 4, 4, 4, 5, 5, 7, 9};  // squared deviations from 5 sum to 32
  EXPECT_DOUBLE_EQ(mean(v), 5);
  EXPECT_DOUBLE_EQ(sample_deviation(v), std::sqrt(32.0 / 7));
}

TEST(Intervals, IncompleteBetaHasItsClosedForms) {
  for (double x : {0.0, 1e-6, 0.1, 0.37, 0.5, 0.9, 1.0}) {
    for (double p : {0.5, 1.0, 2.5, 40.0}) {
      EXPECT_NEAR(incomplete_beta(p, 1, x), std::pow(x, p), 1e-14);
      EXPECT_NEAR(incomplete_beta(1, p, x), 1 - std::pow(1 - x, p), 1e-14);
    }
    EXPECT_NEAR(incomplete_beta(2, 2, x), x * x * (3 - 2 * x), 1e-14);
    EXPECT_NEAR(incomplete_beta(0.5, 0.5, x), 2 / std::numbers::pi * std::asin(std::sqrt(x)), 1e-14);
  }
}

TEST(Intervals, QuantilesAgreeWithTheTables) {
  struct Entry {
    double probability, freedom, value;
  };
  // Percentage points of Student's t, to the digits printed in tables.
  const std::vector<Entry> table = {
      {0.975, 1, 12.706204736}, {0.975, 2, 4.302652730},  {0.975, 3, 3.182446305},
      {0.975, 4, 2.776445105},  {0.975, 5, 2.570581836},  {0.975, 9, 2.262157163},
      {0.975, 10, 2.228138852}, {0.975, 30, 2.042272456}, {0.975, 100, 1.983971519},
      {0.95, 5, 2.015048373},   {0.995, 10, 3.169272673}, {0.9995, 1, 636.619248768},
      {0.9, 1, 3.077683537},    {0.75, 4, 0.740697084},
  };
  for (const auto& e : table) {
    EXPECT_NEAR(student_t_quantile(e.probability, e.freedom), e.value, 1e-9 * e.value + 1e-9)
        << e.probability << " " << e.freedom;
    EXPECT_NEAR(student_t_quantile(1 - e.probability, e.freedom), -e.value, 1e-7 * e.value)
        << e.probability << " " << e.freedom;
  }
}

TEST(Intervals, QuantilesHaveTheirClosedForms) {
  for (double p : {0.01, 0.2, 0.5, 0.6, 0.99}) {
    EXPECT_NEAR(student_t_quantile(p, 1), std::tan(std::numbers::pi * (p - 0.5)), 1e-9);
    EXPECT_NEAR(student_t_quantile(p, 2), (2 * p - 1) / std::sqrt(2 * p * (1 - p)), 1e-10);
  }
  EXPECT_NEAR(student_t_quantile(0.975, 1e7), 1.959964, 1e-6);  // the normal limit
  EXPECT_TRUE(std::isnan(student_t_quantile(1, 3)));
  EXPECT_TRUE(std::isnan(student_t_quantile(0.5, 0)));
}

TEST(Intervals, IntervalOfTwoAndOfThree) {
  const std::vector<double> two = {1, 3};
  const Interval a = t_interval(two);
  EXPECT_EQ(a.count, 2);
  EXPECT_DOUBLE_EQ(a.mean, 2);
  EXPECT_NEAR(a.half_width, 12.706204736, 1e-8);  // deviation sqrt(2) over sqrt(2)
  const std::vector<double> three = {10, 12, 14};
  EXPECT_NEAR(t_interval(three).half_width, 4.302652730 * 2 / std::sqrt(3.0), 1e-8);
  EXPECT_NEAR(t_interval(three, 0.8).half_width, 1.885618083 * 2 / std::sqrt(3.0), 1e-8);
}

TEST(Intervals, TooFewValuesAreUndefined) {
  EXPECT_TRUE(std::isnan(mean({})));
  EXPECT_EQ(t_interval({}).count, 0);
  const std::vector<double> one = {7};
  EXPECT_DOUBLE_EQ(t_interval(one).mean, 7);
  EXPECT_TRUE(std::isnan(t_interval(one).half_width));
  EXPECT_TRUE(std::isnan(sample_deviation(one)));
  const std::vector<double> equal = {7, 7, 7};
  EXPECT_EQ(t_interval(equal).half_width, 0);
}

}  // namespace
}  // namespace expunge::stat
