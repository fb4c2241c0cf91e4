// Classification: golden values of the divergence, its gradients, and the statistics of wrong labels.
#include "tasks/task.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace expunge {
namespace {

using Row = std::vector<float>;

struct Divergence {
  double value;
  std::vector<double> gradient;
};

// T^2 KL(teacher || student) of one sample and its gradient with respect to the student's logits.
Divergence divergence(const Row& teacher, const Row& student, double temperature) {
  const auto task = tasks::make_classification(static_cast<std::int64_t>(teacher.size()));
  torch::Tensor t = torch::tensor(teacher).unsqueeze(0).requires_grad_(true);
  torch::Tensor s = torch::tensor(student).unsqueeze(0).requires_grad_(true);
  const torch::Tensor d = task->divergence({{"logits", t}}, {{"logits", s}}, temperature);
  EXPECT_EQ(d.dim(), 1);
  d.sum().backward();
  EXPECT_FALSE(t.grad().defined());  // nothing flows into the teacher
  Divergence out{d.item<double>(), {}};
  for (std::int64_t k = 0; k < s.numel(); ++k) out.gradient.push_back(s.grad().view({-1})[k].item<double>());
  return out;
}

void expect_near(const Divergence& found, double value, const std::vector<double>& gradient) {
  EXPECT_NEAR(found.value, value, 1e-6);  // float rounding, scaled by T^2
  ASSERT_EQ(found.gradient.size(), gradient.size());
  for (std::size_t k = 0; k < gradient.size(); ++k) EXPECT_NEAR(found.gradient[k], gradient[k], 3e-7) << k;
}

const Row kStudent = {1, 0, -1}, kTeacher = {0.5f, 0.5f, -1};

TEST(Divergence, GoldenValueAtTemperature1) {
  expect_near(divergence(kTeacher, kStudent, 1), 0.108689779603,
              {0.215424738117, -0.205087746603, -0.010336991513});
}

TEST(Divergence, GoldenValueAtTemperature2) {
  expect_near(divergence(kTeacher, kStudent, 2), 0.100375440743,
              {0.204019244788, -0.194549765886, -0.009469478903});
}

TEST(Divergence, GoldenValueAtTemperature4) {
  expect_near(divergence(kTeacher, kStudent, 4), 0.092881630683,
              {0.188427004147, -0.182505459093, -0.005921545054});
}

TEST(Divergence, GoldenValueOfAUniformTeacher) {
  EXPECT_NEAR(divergence({0, 0, 0}, {2, 1, 0}, 1).value, 0.308993675776, 3e-7);
}

TEST(Divergence, VanishesWithItsGradientWhereStudentEqualsTeacher) {
  for (double temperature : {1.0, 2.0, 4.0}) {
    const auto at_start = divergence({2.5f, -1, 0.25f, 7}, {2.5f, -1, 0.25f, 7}, temperature);
    EXPECT_EQ(at_start.value, 0);
    for (double g : at_start.gradient) EXPECT_LT(std::abs(g), 3e-7);  // T times float rounding
  }
}

TEST(Divergence, IsFiniteForHugeLogits) {
  const auto d = divergence({1e4f, 0, -1e4f}, {-1e4f, 0, 1e4f}, 1);
  EXPECT_NEAR(d.value, 2e4, 1);
  for (double g : d.gradient) EXPECT_TRUE(std::isfinite(g));
}

TEST(Divergence, AStepDownItsGradientBringsTheStudentCloser) {
  const auto before = divergence(kTeacher, kStudent, 2);
  Row moved = kStudent;
  for (std::size_t k = 0; k < moved.size(); ++k) moved[k] -= 0.1f * static_cast<float>(before.gradient[k]);
  EXPECT_LT(divergence(kTeacher, moved, 2).value, before.value);
}

TEST(Loss, IsCrossEntropyPerSample) {
  const auto task = tasks::make_classification(3);
  const torch::Tensor z = torch::tensor({2.0f, 1.0f, 0.0f, 0.0f, 0.0f, 0.0f}).view({2, 3});
  const torch::Tensor loss = task->loss({{"logits", z}}, torch::tensor({0, 2}, torch::kLong));
  ASSERT_EQ(loss.sizes(), torch::IntArrayRef({2}));
  EXPECT_NEAR(loss[0].item<double>(), std::log(1 + std::exp(-1.0) + std::exp(-2.0)), 1e-6);
  EXPECT_NEAR(loss[1].item<double>(), std::log(3.0), 1e-6);
}

TEST(Loss, IsWeightedByClassAndTheLikelihoodIsNot) {
  const auto task = tasks::make_classification(3, {0.5, 1, 4});
  const models::Tensors outputs{{"logits", torch::zeros({2, 3})}};
  const torch::Tensor targets = torch::tensor({0, 2}, torch::kLong);
  const torch::Tensor loss = task->loss(outputs, targets),
                      plain = task->negative_log_likelihood(outputs, targets);
  EXPECT_NEAR(loss[0].item<double>(), 0.5 * std::log(3.0), 1e-6);
  EXPECT_NEAR(loss[1].item<double>(), 4 * std::log(3.0), 1e-6);
  EXPECT_NEAR(plain[0].item<double>(), std::log(3.0), 1e-6);
  EXPECT_NEAR(plain[1].item<double>(), std::log(3.0), 1e-6);
}

// `count` samples with label `label`, all of D_f.
Batch forget_batch(std::int64_t count, std::int64_t label) {
  Batch b;
  b.labels = torch::full({count}, label, torch::kLong);
  b.is_forget = torch::ones({count});
  for (std::int64_t i = 0; i < count; ++i) b.ids.push_back(i);
  return b;
}

std::vector<std::int64_t> class_counts(const torch::Tensor& labels, std::int64_t classes) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(classes), 0);
  for (std::int64_t i = 0; i < labels.numel(); ++i)
    ++out[static_cast<std::size_t>(labels.data_ptr<std::int64_t>()[i])];
  return out;
}

double chi_square(const std::vector<std::int64_t>& counts, std::int64_t skip, double expected) {
  double sum = 0;
  for (std::size_t k = 0; k < counts.size(); ++k)
    if (static_cast<std::int64_t>(k) != skip)
      sum += (static_cast<double>(counts[k]) - expected) * (static_cast<double>(counts[k]) - expected) /
             expected;
  return sum;
}

TEST(Corrupt, DrawsUniformlyAmongTheOtherClasses) {
  constexpr std::int64_t kDraws = 100000, kClasses = 10;
  const auto task = tasks::make_classification(kClasses);
  for (std::int64_t label : {0, 4, 9}) {
    const auto counts = class_counts(
        task->corrupt(forget_batch(kDraws, label), "uniform_other", Rng(42, "relabel")), kClasses);
    EXPECT_EQ(counts[static_cast<std::size_t>(label)], 0);
    EXPECT_LT(chi_square(counts, label, kDraws / 9.0), 26.12);  // 0.999 quantile, 8 degrees of freedom
  }
}

TEST(Corrupt, UniformAllKeepsAShareOfTheLabels) {
  constexpr std::int64_t kDraws = 100000, kClasses = 10;
  const auto task = tasks::make_classification(kClasses);
  const auto counts =
      class_counts(task->corrupt(forget_batch(kDraws, 3), "uniform_all", Rng(42, "relabel")), kClasses);
  EXPECT_LT(chi_square(counts, -1, kDraws / 10.0), 27.88);  // 9 degrees of freedom
}

TEST(Corrupt, PlusOneWrapsAround) {
  const auto task = tasks::make_classification(3);
  Batch b = forget_batch(3, 0);
  b.labels = torch::arange(3, torch::kLong);
  EXPECT_TRUE(task->corrupt(b, "plus_one", Rng(1, "relabel")).equal(torch::tensor({1, 2, 0}, torch::kLong)));
}

TEST(Corrupt, LeavesRetainedSamplesAndTheBatchAlone) {
  const auto task = tasks::make_classification(10);
  Batch b = forget_batch(50, 5);
  b.is_forget.slice(0, 0, 25).fill_(0);
  const torch::Tensor wrong = task->corrupt(b, "uniform_other", Rng(42, "relabel"));
  EXPECT_TRUE(b.labels.eq(5).all().item<bool>());
  EXPECT_TRUE(wrong.slice(0, 0, 25).eq(5).all().item<bool>());
  EXPECT_TRUE(wrong.slice(0, 25).ne(5).all().item<bool>());
}

TEST(Corrupt, DependsOnTheSampleAloneAndNotOnItsBatch) {
  const auto task = tasks::make_classification(10);
  const Batch all = forget_batch(100, 2);
  const torch::Tensor whole = task->corrupt(all, "uniform_other", Rng(42, "relabel"));
  Batch part = forget_batch(1, 2);
  for (std::int64_t id : {0, 31, 99}) {
    part.ids = {id};
    EXPECT_EQ(task->corrupt(part, "uniform_other", Rng(42, "relabel")).item<std::int64_t>(),
              whole[id].item<std::int64_t>());
  }
  EXPECT_FALSE(task->corrupt(all, "uniform_other", Rng(43, "relabel")).equal(whole));
}

}  // namespace
}  // namespace expunge
