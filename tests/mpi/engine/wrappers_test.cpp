// What a job file may lay over any method: adapters, the fusion module alone, curricula. Methods that are
// added later are tested here too; one that refuses a wrapper says why.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "methods/runner_registry.hpp"
#include "models/torch/blocks.hpp"
#include "models/trainable.hpp"
#include "stat/super_loss.hpp"
#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

// A vision transformer of one narrow layer on images of 6 x 6, with adapters of rank 2.
Toy adapted_toy(std::int64_t forget = 5, std::int64_t retain = 17) {
  Toy toy = conv_toy(forget, retain).with({{"epochs", 2}, {"batch", 9}});
  const auto* descriptor = models::find_descriptor("vit_tiny_patch4");
  auto config = descriptor->config("vit_tiny_patch4", {1, 6, 6, 3});
  config.update({{"patch_size", 3},
                 {"num_hidden_layers", 1},
                 {"num_attention_heads", 1},
                 {"hidden_size", 8},
                 {"intermediate_size", 8}});
  const auto trainable = models::resolve_trainable("lora:r=2", *descriptor, config);
  toy.make = [config, trainable] {
    auto model = models::build(config);
    models::add_adapters(*model, trainable.projections, trainable.rank, 0, 0.1, Rng(42, "lora"));
    return model;
  };
  toy.trainable = [trainable](const std::string& name) { return trainable.trains(name); };
  return toy;
}

Toy curriculum_toy(const nlohmann::json& curriculum) {
  return conv_toy(5, 17, 0.25).with({{"epochs", 2}, {"batch", 9}, {"curriculum", curriculum}});
}

void expect_any_ranks_and_resume(const std::string& method, const Toy& toy) {
  const auto single = run_method(method, toy, alone()), many = run_method(method, toy, world());
  EXPECT_EQ(single.hash, many.hash);
  EXPECT_EQ(single.report.history, many.report.history);
  std::optional<store::Checkpoint> checkpoint;
  ToyResult last;
  int incarnations = 0;
  do {
    last = run_method(method, toy, ++incarnations % 2 ? world() : alone(), 2,
                      checkpoint ? &*checkpoint : nullptr);
    if (last.interrupted) checkpoint = last.checkpoint;
  } while (last.interrupted && incarnations < 100);
  EXPECT_FALSE(last.interrupted);
  EXPECT_EQ(last.hash, single.hash);
}

class Wrapped : public testing::TestWithParam<std::string> {
 protected:
  const methods::Descriptor& descriptor() const { return *methods::find_descriptor(GetParam()); }
  bool goes_with(const std::string& wrapper) const {
    const auto refused = descriptor().refuses.find(wrapper);
    if (refused != descriptor().refuses.end()) {
      EXPECT_FALSE(refused->second.empty());
    }
    return !descriptor().from_scratch && refused == descriptor().refuses.end();
  }
};

TEST_P(Wrapped, RunsOnAdaptersAndLeavesTheRestAlone) {
  if (!goes_with("lora")) GTEST_SKIP() << "refused";
  const auto& needs = descriptor().needs;
  if (std::find(needs.begin(), needs.end(), methods::Need::kPairs) != needs.end())
    GTEST_SKIP() << "no model for pairs has adapters";
  const Toy toy = adapted_toy().with(small_options(GetParam()));
  expect_any_ranks_and_resume(GetParam(), toy);
  const auto result = run_method(GetParam(), toy, world());
  EXPECT_TRUE(result.frozen.equal(result.start_frozen));
  // ssd may find nothing to dampen in a toy.
  if (GetParam() != "ssd") EXPECT_FALSE(result.values.equal(result.start));
}

TEST_P(Wrapped, FollowsACurriculum) {
  if (!goes_with("superloss")) GTEST_SKIP() << "refused";
  const auto small = small_options(GetParam());
  const Toy plain = curriculum_toy("none").with(small);
  for (const nlohmann::json& curriculum :
       {nlohmann::json("superloss"),
        nlohmann::json{{"name", "superloss"}, {"lambda", 0.5}, {"mb_tau", true}}}) {
    const Toy toy = curriculum_toy(curriculum).with(small);
    expect_any_ranks_and_resume(GetParam(), toy);
    EXPECT_NE(run_method(GetParam(), toy, alone()).hash, run_method(GetParam(), plain, alone()).hash);
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, Wrapped, testing::ValuesIn(conforming_methods()),
                         [](const auto& info) { return info.param; });

// Two samples of D_r, one parameter step: gradient = mean of sigma_i (theta - a_i), tau = the mean of the
// losses for the first step, of all losses so far for the second.
TEST(SuperLossInTheEngine, TakesTheStepsOfTheFormula) {
  const Toy toy = quad_toy({{1, 0}, {0, 3}}, {}, {0, 1}, {0, 0})
                      .with({{"epochs", 2}, {"curriculum", {{"name", "superloss"}, {"lambda", 0.7}}}});
  double x = 0, y = 0, sum = 0, count = 0;
  for (int step = 0; step < 2; ++step) {
    const double l0 = 0.5 * ((x - 1) * (x - 1) + y * y), l1 = 0.5 * (x * x + (y - 3) * (y - 3));
    const double tau = step == 0 ? (l0 + l1) / 2 : sum / count;
    const double s0 = stat::super_loss_weight(l0, tau, 0.7), s1 = stat::super_loss_weight(l1, tau, 0.7);
    const double gx = (s0 * (x - 1) + s1 * x) / 2, gy = (s0 * y + s1 * (y - 3)) / 2;
    x -= 0.1 * gx, y -= 0.1 * gy, sum += l0 + l1, count += 2;
  }
  const auto result = run_method("finetune", toy, world());
  EXPECT_NEAR(result.values[0].item<double>(), x, 1e-6);
  EXPECT_NEAR(result.values[1].item<double>(), y, 1e-6);
}

// Modules of which nothing is trained stay in eval mode: with the convolution and its norm frozen, their
// statistics do not move and the features of an input stay as they were.
TEST(FusionInTheEngine, KeepsFrozenModulesInEvalMode) {
  Toy toy = conv_toy(5, 17).with({{"epochs", 2}, {"batch", 9}});
  toy.trainable = [](const std::string& name) {
    return name.find("linear") != std::string::npos || name.find("head") != std::string::npos;
  };
  toy.eval_frozen = true;
  const auto result = run_method("finetune", toy, world());
  EXPECT_TRUE(result.buffers.equal(result.start_buffers));
  EXPECT_TRUE(result.frozen.equal(result.start_frozen));
  EXPECT_FALSE(result.values.equal(result.start));
}

}  // namespace
}  // namespace expunge::test
