// BatchNorm with statistics that the engine collects, against the formulas of Ioffe & Szegedy 2015 in double.
#include <gtest/gtest.h>

#include <cmath>

#include "core/rng.hpp"
#include "models/torch/model.hpp"

namespace expunge {
namespace {

using models::BatchNorm;

torch::Tensor filled(std::vector<std::int64_t> shape, const char* purpose) {
  torch::Tensor t = torch::zeros(shape);
  const Rng rng(5, purpose);
  for (std::int64_t i = 0; i < t.numel(); ++i)
    t.view({-1})[i] = 2 * rng.normal(static_cast<std::uint64_t>(i)) + 1;
  return t;
}

// Mean, and variance divided by count - correction, of channel c of [n, C, H, W].
std::pair<double, double> moments(const torch::Tensor& x, std::int64_t c, int correction) {
  const torch::Tensor values = x.select(1, c).contiguous().view({-1});
  double mean = 0, square = 0;
  for (std::int64_t i = 0; i < values.numel(); ++i) mean += values[i].item<double>();
  mean /= static_cast<double>(values.numel());
  for (std::int64_t i = 0; i < values.numel(); ++i) square += std::pow(values[i].item<double>() - mean, 2);
  return {mean, square / static_cast<double>(values.numel() - correction)};
}

class BatchNorms : public testing::Test {
 protected:
  BatchNorms() : bn(3, 1e-3, 0.1), x(filled({4, 3, 5, 2}, "x")) {
    const torch::NoGradGuard no_grad;
    bn.weight.copy_(filled({3}, "weight"));
    bn.bias.copy_(filled({3}, "bias"));
    bn.running_mean.copy_(filled({3}, "mean"));
    bn.running_var.copy_(filled({3}, "var").abs() + 0.5);
    before_mean = bn.running_mean.clone();
    before_var = bn.running_var.clone();
    bn.batch_mean = torch::zeros({3});
    bn.batch_var = torch::zeros({3});
  }
  void expect_running_untouched() {
    EXPECT_TRUE(at::equal(bn.running_mean, before_mean));
    EXPECT_TRUE(at::equal(bn.running_var, before_var));
    EXPECT_EQ(bn.num_batches_tracked.item<std::int64_t>(), 0);
  }
  // (x - mean) / sqrt(var + eps) * weight + bias
  void expect_normalised(const torch::Tensor& y, std::int64_t c, double mean, double var) {
    const torch::Tensor expected =
        (x.select(1, c).to(torch::kDouble) - mean) / std::sqrt(var + 1e-3) * bn.weight[c].item<double>() +
        bn.bias[c].item<double>();
    EXPECT_LT((y.select(1, c).to(torch::kDouble) - expected).abs().max().item<double>(), 1e-5) << c;
  }

  BatchNorm bn;
  torch::Tensor x, before_mean, before_var;
};

TEST_F(BatchNorms, TrainingNormalisesByTheGrainAndRecordsItsStatistics) {
  bn.train();
  const torch::Tensor y = bn.forward(x);
  for (std::int64_t c = 0; c < 3; ++c) {
    const auto [mean, biased] = moments(x, c, 0);
    const auto [unused, unbiased] = moments(x, c, 1);
    expect_normalised(y, c, mean, biased);
    EXPECT_NEAR(bn.batch_mean[c].item<double>(), mean, 1e-6);
    EXPECT_NEAR(bn.batch_var[c].item<double>(), unbiased, 1e-5);
  }
  expect_running_untouched();
}

TEST_F(BatchNorms, RecordsIntoWindowsOfALargerBuffer) {
  const torch::Tensor leaf = torch::zeros({10});
  bn.batch_mean = leaf.narrow(0, 2, 3);
  bn.batch_var = leaf.narrow(0, 5, 3);
  bn.train();
  bn.forward(x);
  EXPECT_NEAR(leaf[2].item<double>(), moments(x, 0, 0).first, 1e-6);
  EXPECT_NEAR(leaf[7].item<double>(), moments(x, 2, 1).second, 1e-5);
  EXPECT_EQ(leaf[1].item<float>(), 0.0f);
  EXPECT_EQ(leaf[8].item<float>(), 0.0f);
}

TEST_F(BatchNorms, WithoutScratchNothingIsRecorded) {
  bn.train();
  const torch::Tensor with = bn.forward(x);
  bn.batch_mean = bn.batch_var = torch::Tensor();
  EXPECT_TRUE(at::equal(bn.forward(x), with));
  expect_running_untouched();
}

TEST_F(BatchNorms, FrozenAndEvaluationUseRunningStatistics) {
  for (const bool frozen : {true, false}) {
    bn.frozen = frozen;
    bn.train(frozen);
    const torch::Tensor y = bn.forward(x);
    for (std::int64_t c = 0; c < 3; ++c)
      expect_normalised(y, c, before_mean[c].item<double>(), before_var[c].item<double>());
    EXPECT_EQ(bn.batch_mean.abs().sum().item<float>(), 0.0f);
    expect_running_untouched();
  }
}

TEST_F(BatchNorms, OneValuePerChannelFallsBackToRunningStatistics) {
  x = filled({1, 3, 1, 1}, "one");
  bn.train();
  const torch::Tensor y = bn.forward(x);
  for (std::int64_t c = 0; c < 3; ++c)
    expect_normalised(y, c, before_mean[c].item<double>(), before_var[c].item<double>());
  // Averaged with the other grains, it leaves the running statistics where they are.
  EXPECT_TRUE(at::equal(bn.batch_mean, before_mean));
  EXPECT_TRUE(at::equal(bn.batch_var, before_var));
}

// The gradient passes through the grain's statistics: a shift of a channel's input changes nothing.
TEST_F(BatchNorms, GradientsPassThroughTheStatistics) {
  bn.train();
  const torch::Tensor weights = filled({4, 3, 5, 2}, "loss");
  x.set_requires_grad(true);
  (bn.forward(x) * weights).sum().backward();
  const torch::Tensor g = x.grad().clone();
  EXPECT_LT(g.sum({0, 2, 3}).abs().max().item<double>(), 1e-3);
  bn.frozen = true;
  x.mutable_grad() = torch::Tensor();
  (bn.forward(x) * weights).sum().backward();
  EXPECT_GT(x.grad().sum({0, 2, 3}).abs().max().item<double>(), 1e-1);
  // Frozen: the gradient is that of an affine map.
  const torch::Tensor affine = weights * (bn.weight / (before_var + 1e-3).sqrt()).view({1, 3, 1, 1});
  EXPECT_LT((x.grad() - affine).abs().max().item<double>(), 1e-5);
}

}  // namespace
}  // namespace expunge
