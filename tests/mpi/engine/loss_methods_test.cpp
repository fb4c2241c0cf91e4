// Methods with losses of their own: closed forms, golden numbers of their cards, and what they may not touch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/mpi/engine/toys.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;

// Values of the first parameter before each step, and after the last.
std::vector<double> trajectory(const std::string& method, Toy toy) {
  std::vector<double> out;
  toy.inspect = [&](StepView& step) { out.push_back(step.values[0][0].item<double>()); };
  out.push_back(run_method(method, toy, world()).values[0].item<double>());
  return out;
}

double objective(const ToyResult& result, std::size_t call) {
  return result.report.history.at(call * kHistoryColumns.size() + 3);
}

std::vector<double> nll_of(const torch::Tensor& values, const Toy& toy, const std::vector<std::int64_t>& ids,
                           const torch::Tensor& labels) {
  const torch::Tensor log_p = at::log_softmax(logit_rows(values, toy).to(torch::kDouble), 1);
  std::vector<double> out;
  for (auto i : ids) out.push_back(-log_p[i][labels[i].item<std::int64_t>()].item<double>());
  return out;
}

// L1-sparse.

TEST(L1Sparse, ReachesTheSoftThreshold) {
  const Toy toy =
      quad_toy({{2, -0.3f}}, {}, {0}, {1, 1}).with({{"alpha", 0.5}, {"epochs", 200}, {"no_l1_epochs", 200}});
  const torch::Tensor t = run_method("l1_sparse", toy, world()).values;
  EXPECT_NEAR(t[0].item<double>(), 1.5, 1e-5);
  EXPECT_NEAR(t[1].item<double>(), 0, 0.1 * 0.5 + 1e-6);  // swings around 0 by at most lr alpha
}

TEST(L1Sparse, FadesThePenaltyOut) {
  Toy toy = quad_toy({{0, 0}}, {}, {0}, {10, 10}).with({{"alpha", 0.5}, {"epochs", 10}, {"no_l1_epochs", 2}});
  toy.task = scaled(quad_task(), 0);
  const auto theta = trajectory("l1_sparse", toy);
  const std::vector<double> weights = {1, .875, .75, .625, .5, .375, .25, .125, 0, 0};
  ASSERT_EQ(theta.size(), 11u);
  for (std::size_t e = 0; e < weights.size(); ++e)
    EXPECT_NEAR(theta[e] - theta[e + 1], 0.1 * 0.5 * weights[e], 2e-6) << e;
}

TEST(L1Sparse, LeavesZerosAtZero) {
  Toy toy = quad_toy({{0, 0}}, {}, {0}, {0, 3}).with({{"alpha", 0.5}, {"epochs", 1}});
  toy.task = scaled(quad_task(), 0);
  EXPECT_EQ(run_method("l1_sparse", toy, world()).values[0].item<float>(), 0);
}

// UL.

TEST(Ul, TakesAllOfDfInOneStepAPass) {
  // 1 + 1.1^3 (2 - 1), whatever the batch: gradient ascent with the full batch.
  const Toy toy =
      quad_toy({{0, 3}, {2, 5}, {9, 9}}, {0, 1}, {2}, {2, 2}).with({{"batch", 1}, {"min_epochs", 3}});
  const auto result = run_method("ul", toy, world());
  EXPECT_EQ(result.report.steps, 3);
  EXPECT_NEAR(result.values[0].item<double>(), 2.331, 1e-6);
}

TEST(Ul, StopsWhenDfIsKnownNoBetterThanTheThreshold) {
  Toy toy = logit_toy(8, 4, {0, 1, 2, 3}).with({{"epochs", 40}, {"lr", 1}, {"stop_accuracy", 0.5}});
  torch::Tensor z = torch::zeros({8, 4});
  for (int i = 0; i < 8; ++i) z[i][i % 4] = 1.0f + static_cast<float>(i);  // all known, some better
  toy.start = torch::zeros_like(run_method("ul", toy.with({{"epochs", 0}}), alone()).start);
  toy.start.narrow(0, 0, 32).copy_(z.flatten());
  const auto accuracy = [&](const torch::Tensor& values) {
    const torch::Tensor right =
        logit_rows(values, toy).argmax(1).eq(toy.samples->labels()).to(torch::kDouble).narrow(0, 0, 4);
    return right.mean().item<double>();
  };
  EXPECT_EQ(accuracy(toy.start), 1);
  const auto result = run_method("ul", toy, world());
  const auto steps = result.report.steps;
  ASSERT_GT(steps, 1);
  ASSERT_LT(steps, 40);
  EXPECT_LT(accuracy(result.values), 0.5);
  EXPECT_GE(accuracy(run_method("ul", toy.with({{"epochs", steps - 1}}), world()).values), 0.5);
  // Without a threshold of its own: 1/K where nothing is unseen.
  EXPECT_LT(accuracy(run_method("ul", toy.with({{"stop_accuracy", 0}, {"epochs", 400}}), world()).values),
            0.25);
}

// DELETE and UNDIAL.

// Gradient of a step of `method` on each sample of D_f against `expected(p, z)`.
template <class Expected>
void expect_gradient(const std::string& method, const Toy& toy, Expected&& expected) {
  const auto result = run_method(method, toy, world());
  const torch::Tensor start = logit_rows(result.start, toy), moved = start - logit_rows(result.values, toy);
  const auto n = static_cast<double>(toy.forget.size());
  for (auto i : toy.forget) {
    const torch::Tensor e = expected(start[i], toy.samples->labels()[i].template item<std::int64_t>());
    EXPECT_LT((moved[i] * n - e).abs().max().template item<double>(), 3e-6) << i;
    EXPECT_GT(e.abs().max().template item<double>(), 1e-3);
  }
  for (auto i : toy.retain) EXPECT_EQ(moved[i].abs().max().template item<double>(), 0);
}

torch::Tensor lowered(const torch::Tensor& z, std::int64_t y, double by) {
  torch::Tensor out = z.clone();
  out[y] -= by;
  return at::softmax(out, 0);
}

TEST(Delete, GradientIsStudentMinusTheOriginalWithoutItsTrueClass) {
  expect_gradient("delete", logit_toy(6, 4, {1, 4, 5}), [](const torch::Tensor& z, std::int64_t y) {
    return at::softmax(z, 0) - lowered(z, y, 1e9);
  });
}

TEST(Delete, StartsAtMinusTheLogOfTheRest) {
  const Toy toy = logit_toy(6, 4, {1, 4, 5});
  const auto result = run_method("delete", toy, world());
  const torch::Tensor p = at::softmax(logit_rows(result.start, toy).to(torch::kDouble), 1);
  double expected = 0;
  for (auto i : toy.forget)
    expected -= std::log(1 - p[i][toy.samples->labels()[i].item<std::int64_t>()].item<double>()) / 3;
  EXPECT_NEAR(objective(result, 0), expected, 1e-6);
}

TEST(Delete, ErasesTheTrueClassAndKeepsTheOthersRatios) {
  const Toy toy = logit_toy(6, 4, {1, 4, 5}).with({{"epochs", 600}, {"lr", 6}});
  const auto result = run_method("delete", toy, world());
  const torch::Tensor before = at::softmax(logit_rows(result.start, toy), 1),
                      after = at::softmax(logit_rows(result.values, toy), 1);
  for (auto i : toy.forget) {
    const auto y = toy.samples->labels()[i].item<std::int64_t>();
    EXPECT_LT(after[i][y].item<double>(), 2e-3);
    const torch::Tensor rest = before[i] / (1 - before[i][y]);
    for (std::int64_t k = 0; k < 4; ++k)
      if (k != y) EXPECT_NEAR(after[i][k].item<double>(), rest[k].item<double>(), 2e-3);
  }
}

TEST(Undial, GradientIsStudentMinusTheOriginalTurnedDown) {
  expect_gradient(
      "undial", logit_toy(6, 4, {1, 4, 5}).with({{"strength", 2}}),
      [](const torch::Tensor& z, std::int64_t y) { return at::softmax(z, 0) - lowered(z, y, 2); });
}

TEST(Undial, TendsToDeleteAsTheStrengthGrows) {
  const Toy toy = logit_toy(6, 4, {1, 4, 5});
  const torch::Tensor hard = run_method("delete", toy, world()).values,
                      soft = run_method("undial", toy.with({{"strength", 40}}), world()).values;
  EXPECT_LT((hard - soft).abs().max().item<double>(), 1e-6);
}

// NPO and DPO.

double npo_loss(double nll, double reference, double beta) {
  return 2 / beta * std::log1p(std::exp(-beta * (nll - reference)));
}

TEST(Npo, OracleHasTheGoldenNumbers) {
  EXPECT_NEAR(npo_loss(2, 1.5, 0.1), 13.369192960266, 1e-9);                            // G4
  EXPECT_NEAR(npo_loss(1, 1, 0.1), 13.862943611199, 1e-9);                              // G5
  EXPECT_NEAR((npo_loss(30, 0, 0.1) + npo_loss(0, 0, 0.1)) / 2, 7.417345321337, 1e-9);  // G6
}

TEST(Npo, LossIsTheMeanOverSamplesNotOfTheBatch) {
  const Toy toy = logit_toy(8, 4, {1, 4, 5}).with({{"alpha", 0}, {"epochs", 2}, {"lr", 30}});
  const auto after_one = run_method("npo", toy.with({{"epochs", 1}}), world()),
             both = run_method("npo", toy, world());
  EXPECT_NEAR(objective(both, 0), 13.862943611199, 1e-5);  // at the original: (2/beta) ln 2
  const auto reference = nll_of(both.start, toy, toy.forget, toy.samples->labels()),
             now = nll_of(after_one.values, toy, toy.forget, toy.samples->labels());
  double expected = 0;
  for (std::size_t i = 0; i < now.size(); ++i) expected += npo_loss(now[i], reference[i], 0.1) / 3;
  EXPECT_NEAR(objective(both, 1), expected, 2e-5);
  EXPECT_GT(now[0], reference[0] + 1);
}

TEST(Npo, StartsWithTheGradientOfAscent) {
  const Toy toy =
      mlp_toy(9, 20).with({{"optimizer", "sgd"}, {"lr", 0.1}, {"clip", 0}, {"epochs", 1}, {"batch", 64}});
  const auto npo = run_method("npo", toy.with({{"alpha", 0}}), world()),
             ascent = run_method("neggrad", toy, world());
  EXPECT_LT((npo.values - ascent.values).abs().max().item<double>(), 1e-6);
  EXPECT_GT((npo.values - npo.start).abs().max().item<double>(), 1e-3);
}

TEST(Npo, SimNpoNeedsNoReference) {
  const Toy toy = logit_toy(8, 4, {1, 4, 5}).with({{"alpha", 0}, {"variant", "simnpo"}, {"delta", 0.5}});
  const auto result = run_method("npo", toy, world());
  EXPECT_EQ(result.report.ledger.teacher_forward, 0);
  double expected = 0;
  for (double nll : nll_of(result.start, toy, toy.forget, toy.samples->labels()))
    expected += npo_loss(nll, 0.5, 4.5) / 3;
  EXPECT_NEAR(objective(result, 0), expected, 1e-6);
}

double dpo_loss(double preferred, double preferred0, double other, double other0, double beta) {
  return std::log1p(std::exp(-beta * ((other - other0) - (preferred - preferred0))));
}

TEST(Dpo, OracleHasTheGoldenNumber) {
  EXPECT_NEAR(dpo_loss(2, 2.5, 2, 1.5, 0.1), 0.644396660074, 1e-9);  // G7, as negative log-likelihoods
  EXPECT_NEAR(dpo_loss(2, 2, 3, 3, 0.1), std::log(2.0), 1e-12);
}

TEST(Dpo, PrefersAnotherClass) {
  const Toy toy =
      logit_toy(8, 4, {1, 4, 5}).with({{"alpha", 0}, {"epochs", 2}, {"lr", 30}, {"redraw", false}});
  const auto after_one = run_method("dpo", toy.with({{"epochs", 1}}), world()),
             both = run_method("dpo", toy, world());
  Batch b;
  toy.samples->load({0, 1, 2, 3, 4, 5, 6, 7}, 0, b);
  b.ids = {0, 1, 2, 3, 4, 5, 6, 7};
  b.is_forget = torch::tensor({0.0f, 1.0f, 0.0f, 0.0f, 1.0f, 1.0f, 0.0f, 0.0f});
  const torch::Tensor preferred = toy.task->corrupt(b, "uniform_other", Rng(toy.seed, "relabel"));
  EXPECT_NEAR(objective(both, 0), std::log(2.0), 1e-6);
  const auto of = [&](const torch::Tensor& values, const torch::Tensor& labels) {
    return nll_of(values, toy, toy.forget, labels);
  };
  const auto w0 = of(both.start, preferred), l0 = of(both.start, b.labels),
             w = of(after_one.values, preferred), l = of(after_one.values, b.labels);
  double expected = 0;
  for (std::size_t i = 0; i < w.size(); ++i) expected += dpo_loss(w[i], w0[i], l[i], l0[i], 0.1) / 3;
  EXPECT_NEAR(objective(both, 1), expected, 2e-6);

  // The first step's gradient is -(beta/2) (grad log pi(w) - grad log pi(l)), which is (beta/2) (e_l - e_w).
  const torch::Tensor moved = logit_rows(after_one.start - after_one.values, toy) / 30;
  for (auto i : toy.forget) {
    const torch::Tensor e =
        0.05 * (at::one_hot(b.labels[i], 4) - at::one_hot(preferred[i], 4)).to(torch::kFloat);
    EXPECT_LT((moved[i] * 3 - e).abs().max().item<double>(), 1e-6) << i;
  }
}

// RMU.

TEST(Rmu, TrainsOnlyTheLastWeightsBeforeTheClassifier) {
  const Toy toy = conv_toy(6, 12).with({{"lr", 0.01}, {"epochs", 3}, {"tensors", 1}});
  const auto result = run_method("rmu", toy, world());
  for (std::size_t i = 0; i < result.layout.entries.size(); ++i) {
    const bool moved = !result.layout.view_of(result.values, i).equal(result.layout.view_of(result.start, i));
    EXPECT_EQ(moved, result.layout.entries[i].name == "conv.weight") << result.layout.entries[i].name;
  }
}

TEST(Rmu, MeasuresTheDistanceToOneRandomDirection) {
  const Toy toy = mlp_toy(5, 12).with({{"lr", 0}, {"epochs", 1}, {"batch", 32}, {"steering", 3}});
  const auto result = run_method("rmu", toy, world());
  torch::Tensor u = torch::zeros({16}, torch::kDouble);
  const Rng rng(toy.seed, "steering");
  for (std::int64_t i = 0; i < 16; ++i) u[i] = rng.uniform(static_cast<std::uint64_t>(i));
  u = 3 * u / u.norm();
  const auto window = [&](std::size_t i) {
    return result.layout.view_of(result.start, i).to(torch::kDouble);
  };
  const torch::Tensor x = toy.samples->input().narrow(0, 0, 5).to(torch::kDouble);
  const torch::Tensor h = at::relu(at::linear(x, window(0), window(1)));
  EXPECT_NEAR(objective(result, 0), (h - u).square().mean().item<double>(), 1e-5);  // D_r has not moved
}

TEST(Rmu, HoldsDrTheMoreItWeighs) {
  const Toy toy = mlp_toy(8, 24).with({{"lr", 0.02}, {"epochs", 20}, {"batch", 32}, {"tensors", 1}});
  const auto drift = [&](double alpha) {
    const auto result = run_method("rmu", toy.with({{"alpha", alpha}}), world());
    return mean_divergence(toy, result.values, toy.retain, 1);
  };
  EXPECT_LT(drift(50), drift(0));
}

// UNSIR.

const json kSmallNoise = {{"noise_steps", 15}, {"noise_items", 10}, {"noise_norm", 0}};

TEST(Unsir, NoiseRaisesTheLossAndLeavesTheModelAlone) {
  const Toy toy = conv_toy(6, 12).with(kSmallNoise).with({{"lr", 0}, {"repair_lr", 0}, {"bn", "frozen"}});
  const auto result = run_method("unsir", toy, world());
  EXPECT_TRUE(result.values.equal(result.start));
  EXPECT_TRUE(result.buffers.equal(result.start_buffers));
  for (std::size_t step = 1; step < 15; ++step)  // the objective is minus the loss of the noise
    EXPECT_LT(objective(result, step), objective(result, step - 1)) << step;
  EXPECT_LT(objective(result, 14), objective(result, 0) - 0.1);
}

TEST(Unsir, ImpairsOnNoiseAndRetainedSamplesThenRepairsOnThese) {
  const Toy toy =
      conv_toy(6, 12).with(kSmallNoise).with({{"batch", 8}, {"retain_per_class", 3}, {"epochs", 1}});
  const auto history = run_method("unsir", toy, world()).report.history;
  const std::size_t columns = kHistoryColumns.size();
  ASSERT_EQ(history.size(), 17 * columns);
  EXPECT_EQ(history[15 * columns + 2], 3);                                        // (10 + 9) samples
  EXPECT_EQ(history[16 * columns + 2], 2);                                        // 9 samples
  EXPECT_NEAR(history[16 * columns + 5] / history[15 * columns + 5], 0.5, 1e-9);  // 0.01 against 0.02
}

TEST(Unsir, LearnsTheNoiseOfDfsClassesAlone) {
  // D_f is of class 1: noise of that class only, so its items differ from those of a D_f of class 0.
  Toy toy = mlp_toy(6, 20).with(kSmallNoise).with({{"epochs", 1}, {"lr", 0.05}});
  const double before = mean_loss(
      toy, run_method("unsir", toy.with({{"lr", 0}, {"repair_lr", 0}}), world()).values, toy.forget);
  EXPECT_TRUE(std::isfinite(before));
  const auto result = run_method("unsir", toy, world());
  EXPECT_FALSE(result.values.equal(result.start));
}

}  // namespace
}  // namespace expunge::test
