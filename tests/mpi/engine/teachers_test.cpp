// Methods that distil from teachers, on toys with closed forms.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;

TEST(BadT, PullsDfTowardsTheUntrainedNetworkAndLeavesDrAtTheStart) {
  const Toy toy = logit_toy(8, 4, {2, 3, 5}).with({{"retain_fraction", 1.0}});
  const auto result = run_method("bad_t", toy, world());
  const auto bad = toy.make();
  bad->initialize(Rng(toy.seed, "badinit"));
  const torch::Tensor start = logit_rows(result.start, toy), moved = start - logit_rows(result.values, toy);
  const torch::Tensor p_bad = at::softmax(bad->parameters()[0].detach(), 1), p = at::softmax(start, 1);
  for (auto i : toy.forget)
    EXPECT_LT((moved[i] * 3 - (p[i] - p_bad[i])).abs().max().item<double>(), 2e-6) << i;
  for (auto i : toy.forget) EXPECT_GT((p[i] - p_bad[i]).abs().max().item<double>(), 1e-3) << i;
  for (auto i : toy.retain) EXPECT_LT(moved[i].abs().max().item<double>(), 1e-7) << i;
}

TEST(BadT, JointReductionDividesByTheWholeBatch) {
  const Toy toy = logit_toy(8, 4, {2, 3, 5}).with({{"retain_fraction", 1.0}});
  const auto separate = run_method("bad_t", toy, world());
  const auto joint = run_method("bad_t", toy.with({{"reduction", "joint"}}), world());
  const torch::Tensor a = logit_rows(separate.start - separate.values, toy),
                      b = logit_rows(joint.start - joint.values, toy);
  for (auto i : toy.forget) EXPECT_LT((a[i] * 3 - b[i] * 8).abs().max().item<double>(), 2e-6) << i;
}

TEST(BadT, DoesNotUseLabels) {
  Toy toy = conv_toy(7, 20, 0.2).with({{"batch", 16}, {"epochs", 2}});
  const auto hash = run_method("bad_t", toy, world()).hash;
  toy.samples = std::make_shared<Rows>("pixel_values", toy.samples->input(), toy.samples->labels().flip(0));
  EXPECT_EQ(run_method("bad_t", toy, world()).hash, hash);
}

TEST(BadT, DistilsAShareOfDr) {
  const Toy toy = mlp_toy(4, 21).with({{"retain_fraction", 0.3}, {"epochs", 2}, {"batch", 8}});
  const auto result = run_method("bad_t", toy, alone());
  EXPECT_EQ(result.report.ledger.teacher_forward, 2 * (4 + 6));
  std::set<std::int64_t> seen;
  for (const auto& grain : toy.samples->loaded) seen.insert(grain.begin(), grain.end());
  EXPECT_EQ(seen.size(), 10u);  // the same six samples of D_r in both passes
}

// The phases of a run with one grain an epoch: F or R.
std::string phases(const std::string& method, const Toy& toy) {
  toy.samples->loaded.clear();
  run_method(method, toy, alone());
  std::string out;
  for (const auto& grain : toy.samples->loaded)
    out += std::find(toy.forget.begin(), toy.forget.end(), grain.front()) != toy.forget.end() ? 'F' : 'R';
  return out;
}

TEST(Scrub, DivergenceIsTheOriginalsFromTheStudentsSide) { check_scrub("scrub"); }

TEST(Scrub, AlternatesForgetAndRetainPasses) {
  Toy toy = mlp_toy(6, 12, 0.2);
  toy.grain = 128;
  EXPECT_EQ(phases("scrub", toy), "FRFRFRRRRRRRR");
  toy.options = {{"epochs", 3}, {"max_epochs", 5}};
  EXPECT_EQ(phases("scrub", toy), "FRFRFR");
  Toy norm = conv_toy(6, 12);
  norm.grain = 128;
  EXPECT_EQ(phases("scrub", norm), "FRFRFRRRRRRRR");
}

TEST(Scrub, RunsTheRetainPassFirstWhereTheStartHasNoGradient) {
  Toy toy = mlp_toy(6, 12);
  toy.grain = 128;
  EXPECT_EQ(phases("scrub", toy), "RFRFRFRRRRRRR");
  Toy norm = conv_toy(6, 12).with({{"bn", "frozen"}});
  norm.grain = 128;
  EXPECT_EQ(phases("scrub", norm), "RFRFRFRRRRRRR");
}

TEST(Scrub, MovesAwayOnDfFromTheFirstPassOn) {
  // One retain step, then one forget step on a Logit toy: D_f has not moved before, so its gradient is still
  // zero there; on the second forget pass rounding is all that is left. On the MLP the retain step moves D_f,
  // and the forget step goes on.
  const json plain = {{"optimizer", "sgd"}, {"lr", 0.1},   {"weight_decay", 0}, {"momentum", 0},
                      {"clip", 0},          {"batch", 64}, {"epochs", 1},       {"schedule", "constant"}};
  const Toy stuck = logit_toy(8, 4, {2, 3}).with({{"epochs", 2}, {"max_epochs", 2}});
  const auto result = run_method("scrub", stuck, world());
  const torch::Tensor moved = logit_rows(result.values - result.start, stuck);
  for (auto i : stuck.forget) EXPECT_LT(moved[i].abs().max().item<double>(), 1e-6);
  for (auto i : stuck.retain) EXPECT_GT(moved[i].abs().max().item<double>(), 1e-3);

  Toy toy = mlp_toy(6, 12);
  toy.options = plain;
  const torch::Tensor with = run_method("scrub", toy, world()).values,
                      without = run_method("scrub", toy.with({{"max_epochs", 0}}), world()).values;
  const auto divergence = [&](const torch::Tensor& values) {
    return mean_divergence(toy, values, toy.forget, 2);
  };
  EXPECT_GT(divergence(with), divergence(without));
}

TEST(Scrub, RetainStepIsTheWeightedSumOfBothLosses) {
  // At the start the divergence adds nothing: the step on D_r is gamma (p - e_y) / n.
  const Toy toy = logit_toy(8, 4, {2, 3}).with({{"gamma", 0.25}});
  const auto result = run_method("scrub", toy, world());
  const torch::Tensor start = logit_rows(result.start, toy), moved = start - logit_rows(result.values, toy);
  const torch::Tensor gradient = at::softmax(start, 1) - at::one_hot(toy.samples->labels(), 4);
  for (auto i : toy.retain)
    EXPECT_LT((moved[i] * 6 - 0.25 * gradient[i]).abs().max().item<double>(), 2e-6) << i;
}

TEST(Scrub, DecaysTheRateByEpochsNotByPasses) {
  Toy toy = mlp_toy(6, 12, 0.2);
  const auto history = run_method("scrub", toy, alone()).report.history;
  const std::size_t columns = kHistoryColumns.size(), rate = 5;
  ASSERT_EQ(kHistoryColumns[rate], "lr");
  ASSERT_EQ(history.size(), 13 * columns);
  // F R, F R, F R, R, R | R, R, R | R | R
  const std::vector<double> factors = {1, 1, 1, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.001};
  for (std::size_t row = 0; row < factors.size(); ++row)
    EXPECT_NEAR(history[row * columns + rate], 5e-4 * factors[row], 1e-12) << row;
}

TEST(Scrub, LeavesRunningStatisticsAloneInForgetPasses) {
  const Toy toy = conv_toy(6, 12).with({{"epochs", 1}, {"lr", 0}, {"weight_decay", 0}});
  const auto with = run_method("scrub", toy, world());
  const auto without = run_method("scrub", toy.with({{"max_epochs", 0}}), world());
  EXPECT_EQ(with.report.steps, 2);
  EXPECT_EQ(without.report.steps, 1);
  EXPECT_TRUE(with.buffers.equal(without.buffers));
  EXPECT_FALSE(with.buffers.equal(with.start_buffers));  // the retain pass does update them
}

TEST(Scrub, TakesABatchOfItsOwnInForgetPasses) {
  const Toy toy =
      mlp_toy(11, 20, 0.2).with({{"batch", 8}, {"forget_batch", 3}, {"epochs", 2}, {"max_epochs", 1}});
  std::int64_t planned = 0;
  for (const auto& phase : plan_of("scrub", toy)) planned += phase.steps;
  EXPECT_EQ(planned, 4 + 2 * 3);
  EXPECT_EQ(run_method("scrub", toy, world()).report.steps, planned);
}

}  // namespace
}  // namespace expunge::test
