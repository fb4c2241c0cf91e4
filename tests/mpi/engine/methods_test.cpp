// Methods that train on true and wrong labels, on toys with closed forms.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;

torch::Tensor run_values(const std::string& method, const Toy& toy) {
  return run_method(method, toy, world()).values;
}

// theta of a Quad toy.
std::vector<double> theta(const torch::Tensor& values) {
  return {values[0].item<double>(), values[1].item<double>()};
}

// Four samples: D_f has mean (-2, 4), D_r has mean (1, 1).
Toy four_points(std::vector<float> start = {2, 2}) {
  return quad_toy({{-1, 3}, {-3, 5}, {0, 2}, {2, 0}}, {0, 1}, {2, 3}, std::move(start));
}

TEST(FineTune, ContractsTowardsTheMeanOfDr) {
  const auto t = theta(run_values("finetune", four_points()));
  EXPECT_NEAR(t[0], 1.729, 1e-6);
  EXPECT_NEAR(t[1], 1.729, 1e-6);
}

TEST(Retrain, ContractsTowardsTheMeanOfDr) {
  // 1 + 0.9^3 (theta_init - 1)
  const auto t = theta(run_values("retrain", four_points({5, -3})));
  EXPECT_NEAR(t[0], 1 + 0.729 * 4, 1e-6);
  EXPECT_NEAR(t[1], 1 - 0.729 * 4, 1e-6);
}

TEST(Retrain, NeverReadsDf) {
  const auto hash = [](float value) {
    return run_method("retrain", quad_toy({{value, 3}, {-3, value}, {0, 2}, {2, 0}}, {0, 1}, {2, 3}, {2, 2}),
                      world())
        .hash;
  };
  EXPECT_EQ(hash(-1), hash(1e6f));
}

TEST(NegGrad, ExpandsAwayFromTheMeanOfDf) { check_neggrad("neggrad"); }

TEST(NegGrad, FirstStepIsMinusTheStepOfFineTuneOnTheSameBatch) {
  // All numbers are exact in binary.
  const json one_step = {{"epochs", 1}, {"lr", 0.25}};
  const Toy forget = quad_toy({{0, 3}, {2, 5}}, {0, 1}, {}, {2, 2}).with(one_step);
  const Toy retain = quad_toy({{0, 3}, {2, 5}}, {}, {0, 1}, {2, 2}).with(one_step);
  const torch::Tensor start = torch::tensor({2.0f, 2.0f});
  const torch::Tensor up = run_values("neggrad", forget).slice(0, 0, 2) - start;
  const torch::Tensor down = run_values("finetune", retain).slice(0, 0, 2) - start;
  EXPECT_GT(down.abs().min().item<double>(), 0);
  EXPECT_TRUE(up.equal(-down));
}

TEST(NegGrad, WeightDecayStillDecays) {
  // Without samples' pull (theta at the mean of D_f) only the decay acts: theta (1 - lr wd)^3.
  const Toy toy = quad_toy({{2, 2}}, {0}, {}, {2, 2})
                      .with({{"optimizer", "adamw"}, {"weight_decay", 0.5}, {"epochs", 1}});
  EXPECT_NEAR(theta(run_values("neggrad", toy))[0], 2 * (1 - 0.1 * 0.5), 1e-6);
}

TEST(NegGradPlus, ConvergesToItsFixedPoint) {
  // 0.95 (theta - 1) - 0.05 (theta + 2) = 0
  const Toy toy = quad_toy({{-1, -2}, {-3, -2}, {0, 1}, {2, 1}}, {0, 1}, {2, 3}, {4, -4})
                      .with({{"lr", 0.5}, {"epochs", 60}});
  const auto t = theta(run_values("neggrad_plus", toy));
  EXPECT_NEAR(t[0], 7.0 / 6, 1e-6);
  EXPECT_NEAR(t[1], 7.0 / 6, 1e-6);
}

TEST(NegGradPlus, DriftsWithEqualWeights) {
  // The gradient is the constant (a_f - a_r) / 2 = (-1.5, 1.5).
  const auto t = theta(run_values("neggrad_plus", four_points().with({{"alpha", 0.5}, {"epochs", 7}})));
  EXPECT_NEAR(t[0], 2 + 0.1 * 7 * 1.5, 1e-5);
  EXPECT_NEAR(t[1], 2 - 0.1 * 7 * 1.5, 1e-5);
}

TEST(NegGradPlus, CyclesThroughDfWithItsOwnCounts) {
  // |R| = 5 and |F| = 3 in batches of 2: three steps with retain batches 2, 2, 1 and forget batches 2, 1, 2.
  const Toy toy = quad_toy({{0, 0}, {0, 0}, {0, 0}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, {0, 1, 2},
                           {3, 4, 5, 6, 7}, {0, 0})
                      .with({{"batch", 2}, {"epochs", 1}});
  const auto result = run_method("neggrad_plus", toy, world());
  EXPECT_EQ(result.report.steps, 3);
  EXPECT_EQ(result.report.ledger.student_forward, 10);
  // Each mean is over its own batch, so each step is theta -= 0.1 (0.95 (theta - 1) - 0.05 theta).
  double expected = 0;
  for (int step = 0; step < 3; ++step) expected -= 0.1 * (0.95 * (expected - 1) - 0.05 * expected);
  EXPECT_NEAR(theta(result.values)[0], expected, 1e-6);
}

TEST(RandLabel, GradientIsProbabilityMinusTheWrongLabel) {
  const Toy toy = logit_toy(6, 4, {1, 4});
  const auto result = run_method("rand_label", toy, world());
  Batch b;
  toy.samples->load({0, 1, 2, 3, 4, 5}, 0, b);
  b.ids = {0, 1, 2, 3, 4, 5};
  b.is_forget = torch::tensor({0.0f, 1.0f, 0.0f, 0.0f, 1.0f, 0.0f});
  const torch::Tensor wrong = toy.task->corrupt(b, "uniform_other", Rng(toy.seed, "relabel"));
  EXPECT_TRUE(wrong.index_select(0, torch::tensor({1, 4}))
                  .ne(b.labels.index_select(0, torch::tensor({1, 4})))
                  .all()
                  .item<bool>());
  const torch::Tensor start = logit_rows(result.start, toy);
  const torch::Tensor expected = at::softmax(start, 1) - at::one_hot(wrong, 4);
  const torch::Tensor step = (start - logit_rows(result.values, toy)) * 6;  // the mean is over 6 samples
  EXPECT_LT((step - expected).abs().max().item<double>(), 2e-6);
}

TEST(RandLabel, RedrawsOnlyWhenAsked) {
  const Toy toy = mlp_toy(9, 20).with({{"epochs", 2}, {"batch", 8}});
  const auto labels_of_pass = [&](bool redraw) {
    return run_method("rand_label", toy.with({{"redraw", redraw}}), world()).hash;
  };
  // Two classes leave one wrong label, so drawing among the others cannot show; among all classes it does.
  const auto all = [&](bool redraw) {
    return run_method("rand_label", toy.with({{"redraw", redraw}, {"label_mode", "uniform_all"}}), world())
        .hash;
  };
  EXPECT_EQ(labels_of_pass(false), labels_of_pass(true));
  EXPECT_NE(all(false), all(true));
}

TEST(SalUn, SumsSignedGradientsBeforeTakingMagnitudes) { check_salun("salun"); }

TEST(SalUn, CountsTheOnlyBatch) {
  const Toy toy = quad_toy({{-0.1f, -5}, {3, 3}}, {0}, {1}, {0, 0}).with({{"rho", 0.5}});
  const auto t = theta(run_values("salun", toy));
  EXPECT_EQ(t[0], 0);
  EXPECT_LT(t[1], -0.01);
}

std::vector<std::int64_t> changed(const ToyResult& result) {
  std::vector<std::int64_t> out;
  for (const auto& e : result.layout.entries)
    for (std::int64_t i = e.offset; i < e.offset + e.numel; ++i)
      if (result.values[i].item<float>() != result.start[i].item<float>()) out.push_back(i);
  return out;
}

TEST(SalUn, ChangesExactlyTheMaskedShareUnderAdamAndDecay) {
  for (const char* optimizer : {"adam", "adamw"}) {
    const Toy toy =
        mlp_toy(9, 30).with({{"optimizer", optimizer}, {"weight_decay", 0.1}, {"batch", 16}, {"rho", 0.3}});
    const auto result = run_method("salun", toy, world());
    EXPECT_EQ(result.layout.numel(), 82);
    EXPECT_EQ(changed(result).size(), 24u)
        << optimizer;  // floor(0.3 * 82); the others are theta0 bit for bit
  }
}

TEST(SalUn, ClipsByTheGradientsOfSelectedWeightsAlone) {
  // The first weight is not selected, though its gradient on the mix is -100; the second one's is 0.4.
  const Toy toy = quad_toy({{-100, -0.4f}, {100, -0.4f}, {300, -0.4f}}, {0, 1}, {2}, {0, 0})
                      .with({{"rho", 0.5}, {"clip", 1}, {"epochs", 1}});
  EXPECT_NEAR(theta(run_values("salun", toy))[1], -0.04, 1e-6);
}

TEST(SalUn, MaskIgnoresTheScaleOfTheLoss) {
  Toy toy = mlp_toy(9, 30).with({{"weight_decay", 0.1}, {"batch", 16}, {"rho", 0.3}});
  const auto weights = changed(run_method("salun", toy, world()));
  toy.task = scaled(tasks::make_classification(2), 8);
  EXPECT_EQ(changed(run_method("salun", toy, world())), weights);
}

TEST(SalUn, WithAllWeightsIsRandomLabels) {
  const json same = {{"lr", 1e-3}, {"weight_decay", 1e-4}, {"epochs", 2}, {"batch", 16}};
  const Toy toy = mlp_toy(9, 30).with(same);
  EXPECT_EQ(run_method("salun", toy.with({{"rho", 1}}), world()).hash,
            run_method("rand_label", toy, world()).hash);
}

}  // namespace
}  // namespace expunge::test
