// Outputs and gradients of every family against the field's own implementations, on tiny models with random
// weights, in evaluation mode.
#include <gtest/gtest.h>

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "tests/golden/fixture.hpp"

namespace expunge {
namespace {

// A deep network of rectified units rounds more.
double tolerance(const std::string& fixture) {
  return fixture.find("mobilenet_v2") != std::string::npos ? 2e-5 : 1e-5;
}

class Parity : public testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Parity);

TEST_P(Parity, OutputsAndGradients) {
  at::set_num_threads(1);
  const test::Fixture fixture(GetParam());
  const auto model = fixture.model();
  model->eval();
  const auto outputs = model->forward(fixture.part("in."));
  torch::Tensor loss = torch::zeros({});
  for (const auto& [name, expected] : fixture.part("out.")) {
    ASSERT_TRUE(outputs.count(name)) << name;
    const torch::Tensor& got = outputs.at(name);
    ASSERT_EQ(got.sizes(), expected.sizes()) << name;
    const double scale = std::max(1.0, expected.abs().max().item<double>());
    EXPECT_LE((got - expected).abs().max().item<double>(), tolerance(GetParam()) * scale) << name;
    loss = loss + got.square().mean();
  }
  const double expected_loss = std::stod(fixture.file.metadata.at("loss"));
  EXPECT_NEAR(loss.item<double>(), expected_loss, 1e-5 * std::max(1.0, expected_loss));

  loss.backward();
  const auto norms = fixture.json("grad_norms");
  double total = 0;
  for (const auto& [name, norm] : norms.items()) total += norm.get<double>() * norm.get<double>();
  total = std::sqrt(total);
  ASSERT_GT(total, 0);
  std::size_t compared = 0;
  for (const auto& p : model->named_parameters()) {
    ASSERT_TRUE(norms.contains(p.key())) << p.key();
    const double expected = norms.at(p.key()).get<double>();
    if (expected <= 1e-5 * total) continue;  // mathematically zero: noise
    ASSERT_TRUE(p.value().grad().defined()) << p.key();
    EXPECT_NEAR(p.value().grad().norm().item<double>(), expected, 1e-4 * expected) << p.key();
    ++compared;
  }
  EXPECT_EQ(norms.size(), model->named_parameters().size());
  EXPECT_GT(compared, norms.size() / 2);
}

INSTANTIATE_TEST_SUITE_P(Golden, Parity, testing::ValuesIn(test::fixtures(false)),
                         [](const auto& info) { return info.param; });

TEST(Golden, FixturesOfEveryFamilyAreThere) {
  const auto there = test::fixtures(false);
  if (there.empty())
    GTEST_SKIP() << "no fixtures in " << test::golden_folder() << " (set EXPUNGE_GOLDEN_DIR)";
  for (const auto& family : test::kFamilies)
    EXPECT_TRUE(std::count(there.begin(), there.end(), family)) << family;
  EXPECT_FALSE(test::fixtures(true).empty());
}

}  // namespace
}  // namespace expunge
