#include "stat/divergence.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <string>

#include "tests/unit/metrics_golden.hpp"

namespace expunge {
namespace {

using stat::Base;
using Vector = std::vector<double>;

Vector logs(const Vector& p) {
  Vector out;
  for (const double x : p) out.push_back(std::log(x));
  return out;
}

Vector softmax_logs(const std::vector<float>& z) { return stat::log_softmax(z); }

// Infinite values are written as the string "inf".
void expect_value(double actual, const nlohmann::json& expected, const std::string& what) {
  if (expected.is_string())
    EXPECT_EQ(actual, std::numeric_limits<double>::infinity()) << what;
  else
    EXPECT_NEAR(actual, expected.get<double>(), 1e-9 * std::max(1.0, expected.get<double>())) << what;
}

TEST(Divergence, LogSoftmaxByHand) {
  const auto log_p = softmax_logs({2, 1, 0});
  EXPECT_NEAR(std::exp(log_p[0]), 0.665240955775, 1e-12);
  EXPECT_NEAR(std::exp(log_p[1]), 0.244728471055, 1e-12);
  EXPECT_NEAR(std::exp(log_p[2]), 0.090030573170, 1e-12);
}

TEST(Divergence, LogSoftmaxKeepsExtremes) {
  const auto log_p = softmax_logs({1e30f, 0, -1e30f});
  EXPECT_EQ(log_p[0], 0);
  EXPECT_EQ(log_p[1], -static_cast<double>(1e30f));
  EXPECT_EQ(log_p[2], -2 * static_cast<double>(1e30f));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const double l : softmax_logs({0, bad, 1})) EXPECT_TRUE(std::isnan(l)) << bad;
}

TEST(Divergence, KlOfThePaperNumbers) {
  const auto teacher = softmax_logs({0.5f, 0.5f, -1}), student = softmax_logs({1, 0, -1});
  EXPECT_NEAR(stat::kl(teacher, student), 0.108689779603, 1e-12);  // G1
  const Vector uniform(3, -std::log(3.0));
  EXPECT_NEAR(stat::kl(uniform, softmax_logs({2, 1, 0})), 0.308993675776, 1e-12);  // G9
  EXPECT_NEAR(stat::kl(teacher, student, Base::kTwo), 0.108689779603 / std::numbers::ln2, 1e-11);
}

TEST(Divergence, JsOfThePaperNumbers) {
  const auto p = logs({0.9, 0.1}), q = logs({0.5, 0.5});
  EXPECT_NEAR(stat::js(p, q, Base::kTwo), 0.146793102436, 1e-12);          // G18
  EXPECT_NEAR(1 - stat::js(p, q, Base::kNatural), 0.898250774920, 1e-12);  // G18
}

TEST(Divergence, JsIsSymmetricBoundedAndZeroForEqualDistributions) {
  const auto p = softmax_logs({3, -1, 0.25f, 8}), q = softmax_logs({-2, 1, 5, 0});
  EXPECT_EQ(stat::js(p, q, Base::kTwo), stat::js(q, p, Base::kTwo));
  EXPECT_EQ(stat::js(p, p, Base::kTwo), 0);
  EXPECT_EQ(stat::js(q, q, Base::kNatural), 0);
  const auto one = softmax_logs({0, 1e4f}), other = softmax_logs({1e4f, 0});
  EXPECT_EQ(stat::js(one, other, Base::kTwo), 1);
  EXPECT_EQ(stat::js(logs({1, 0, 0}), logs({0, 1, 0}), Base::kTwo), 1);
}

TEST(Divergence, NaNStaysNaN) {
  const Vector bad(2, std::numeric_limits<double>::quiet_NaN()), good(2, -std::numbers::ln2);
  EXPECT_TRUE(std::isnan(stat::js(bad, good, Base::kTwo)));
  EXPECT_TRUE(std::isnan(stat::js(good, bad, Base::kTwo)));
  EXPECT_TRUE(std::isnan(stat::kl(bad, good)));
  EXPECT_TRUE(std::isnan(stat::entropy(bad)));
}

TEST(Divergence, EntropyByHand) {
  EXPECT_NEAR(stat::entropy(Vector(8, -std::log(8.0))), std::log(8.0), 1e-15);
  EXPECT_EQ(stat::entropy(logs({0, 1, 0})), 0);
}

TEST(Divergence, MatchesScipy) {
  EXPUNGE_NEEDS_GOLDEN();
  int number = 0;
  const auto cases = test::golden_block("divergence").at("cases");
  ASSERT_EQ(cases.size(), 8u);
  for (const auto& c : cases) {
    const std::string what = "case " + std::to_string(number++);
    const auto p = logs(c.at("p").get<Vector>()), q = logs(c.at("q").get<Vector>());
    expect_value(stat::js(p, q, Base::kNatural), c.at("js_base_e"), what);
    expect_value(stat::js(p, q, Base::kTwo), c.at("js_base_2"), what);
    expect_value(stat::kl(p, q), c.at("kl_pq_base_e"), what);
    expect_value(stat::kl(q, p), c.at("kl_qp_base_e"), what);
    expect_value(stat::kl(p, q, Base::kTwo), c.at("kl_pq_base_2"), what);
    expect_value(stat::entropy(p), c.at("entropy_p_base_e"), what);
  }
}

TEST(Divergence, RowsOfLogitsMatchScipy) {
  EXPUNGE_NEEDS_GOLDEN();
  const auto block = test::golden_block("divergence");
  const auto& logits = block.at("from_logits");
  for (std::size_t i = 0; i < logits.at("teacher").size(); ++i) {
    // The reference used doubles; our logits are floats, hence the tolerance.
    const auto teacher = softmax_logs(logits.at("teacher")[i].get<std::vector<float>>());
    const auto student = softmax_logs(logits.at("student")[i].get<std::vector<float>>());
    EXPECT_NEAR(stat::js(teacher, student, Base::kNatural),
                block.at("zrf").at("js_rows_base_e")[i].get<double>(), 1e-6);
    const double kl = logits.at("kl_teacher_student")[0].at("kl_rows")[i].get<double>();
    EXPECT_NEAR(stat::kl(teacher, student), kl, 1e-6 * std::max(1.0, kl));
  }
}

}  // namespace
}  // namespace expunge
