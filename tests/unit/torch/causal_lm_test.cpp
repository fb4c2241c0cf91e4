// The task of language models by hand: shifted targets, masks, other answers.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tasks/answers.hpp"

namespace expunge {
namespace {

constexpr auto kNo = tasks::kIgnored;

// Two texts of four tokens over three: prompts of one and two tokens, the second text is padded.
Batch two_texts() {
  Batch b;
  b.inputs["input_ids"] = torch::tensor({{1, 2, 0, 1}, {2, 2, 1, 0}}, torch::kLong);
  b.inputs["attention_mask"] = torch::tensor({{1, 1, 1, 1}, {1, 1, 1, 0}}, torch::kLong);
  b.labels =
      torch::tensor(std::vector<std::int64_t>{kNo, 2, 0, 1, kNo, kNo, 1, kNo}, torch::kLong).view({2, 4});
  b.ids = {7, 9};
  b.is_forget = torch::ones({2});
  return b;
}

tasks::Answers answers() {
  tasks::Answers out;
  out.donors = 3;
  out.donor = [](std::int64_t place) {
    return place == 0 ? std::vector<std::int64_t>{1} : std::vector<std::int64_t>{place, 0, place, 2};
  };
  out.refusals = {{2, 2}, {0}};
  return out;
}

models::Tensors outputs(const Batch& b, double scale = 1) {
  models::Tensors out;
  out["logits"] = torch::arange(24, torch::kFloat).remainder(5).view({2, 4, 3}) * scale;
  tasks::make_causal_lm(3, answers())->complete(out, b);
  return out;
}

// -ln softmax(z)[k]
double nll(std::vector<double> z, int k) {
  double sum = 0;
  for (const double x : z) sum += std::exp(x);
  return std::log(sum) - z[static_cast<std::size_t>(k)];
}

// The logits before the counted tokens: text 0: (0,1,2) (3,4,0) (1,2,3) before 2, 0, 1; text 1: (0,1,2)
// before 1 (rows 12.. are 2,3,4 | 0,1,2 | ...).
TEST(CausalLm, LossIsTheMeanOverTheAnswer) {
  const auto task = tasks::make_causal_lm(3, answers());
  const Batch b = two_texts();
  const double a = nll({0, 1, 2}, 2), c = nll({3, 4, 0}, 0), d = nll({1, 2, 3}, 1), e = nll({0, 1, 2}, 1);
  const torch::Tensor loss = task->loss(outputs(b), b.labels),
                      sum = task->negative_log_likelihood(outputs(b), b.labels);
  EXPECT_NEAR(loss[0].item<double>(), (a + c + d) / 3, 1e-6);
  EXPECT_NEAR(loss[1].item<double>(), e, 1e-6);
  EXPECT_NEAR(sum[0].item<double>(), a + c + d, 1e-5);
  const torch::Tensor right = task->correct(outputs(b), b.labels);
  EXPECT_NEAR(right[0].item<double>(), 1.0 / 3, 1e-6);  // 2 of (0,1,2); 1, not 0; 2, not 1
  EXPECT_EQ(right[1].item<double>(), 0);
  const torch::Tensor summary = task->summary(outputs(b), b);
  EXPECT_NEAR(summary[0][0].item<double>(), (a + c + d) / 3, 1e-6);
  EXPECT_EQ(summary[0][1].item<double>(), 1);
  EXPECT_EQ(summary[0][2].item<double>(), 3);
  EXPECT_EQ(summary[1][2].item<double>(), 1);
}

TEST(CausalLm, NothingAskedForCostsNothing) {
  const auto task = tasks::make_causal_lm(3, answers());
  Batch b = two_texts();
  b.labels = torch::full_like(b.labels, kNo);
  models::Tensors out = outputs(b);
  out["logits"].set_requires_grad(true);
  const torch::Tensor loss = task->loss(out, b.labels) + task->divergence(outputs(b, 2), out);
  EXPECT_TRUE(loss.equal(torch::zeros({2})));
  loss.sum().backward();
  EXPECT_TRUE(out["logits"].grad().equal(torch::zeros({2, 4, 3})));
}

TEST(CausalLm, DivergenceIsTheMeanOverTheAnswersPositions) {
  const auto task = tasks::make_causal_lm(3, answers());
  const Batch b = two_texts();
  const auto kl = [](std::vector<double> t, std::vector<double> s) {
    double out = 0;
    for (int k = 0; k < 3; ++k) out += std::exp(-nll(t, k)) * (nll(s, k) - nll(t, k));
    return out;
  };
  // Temperature 2: the teacher's logits are twice the student's.
  const double first = kl({0, 1, 2}, {0, 0.5, 1}), second = kl({3, 4, 0}, {1.5, 2, 0}),
               third = kl({1, 2, 3}, {0.5, 1, 1.5});
  const torch::Tensor d = task->divergence(outputs(b, 2), outputs(b), 2);
  EXPECT_NEAR(d[0].item<double>(), 4 * (first + second + third) / 3, 1e-5);
  EXPECT_NEAR(d[1].item<double>(), 4 * first, 1e-5);
}

TEST(CausalLm, TakesTheTrueTokenOut) {
  const auto task = tasks::make_causal_lm(3, answers());
  const Batch b = two_texts();
  const torch::Tensor before = outputs(b).at("logits"),
                      z = task->without_target(outputs(b), b.labels, 10).at("logits");
  torch::Tensor expected = before.clone();
  expected[0][0][2] -= 10, expected[0][1][0] -= 10, expected[0][2][1] -= 10, expected[1][1][1] -= 10;
  EXPECT_TRUE(z.equal(expected));
  const torch::Tensor p = at::softmax(task->without_target(outputs(b), b.labels, INFINITY).at("logits"), -1);
  EXPECT_EQ(p[0][0][2].item<double>(), 0);
  EXPECT_NEAR(p[0][0][1].item<double>(), 1 / (1 + std::exp(-1)), 1e-6);
}

std::vector<std::int64_t> row(const torch::Tensor& t, std::int64_t i) {
  const torch::Tensor r = t[i].contiguous();
  return {r.data_ptr<std::int64_t>(), r.data_ptr<std::int64_t>() + r.numel()};
}

TEST(CausalLm, OtherAnswersKeepThePrompt) {
  const auto task = tasks::make_causal_lm(3, answers());
  Batch b = two_texts();
  std::set<std::vector<std::int64_t>> seen;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const Batch other = task->corrupted(b, "uniform_other", Rng(seed, "relabel"));
    const auto ids = row(other.inputs.at("input_ids"), 1), mask = row(other.inputs.at("attention_mask"), 1),
               y = row(other.labels, 1);
    EXPECT_EQ(ids[0], 2);
    EXPECT_EQ(ids[1], 2);
    // Its own answer is (1): donor 0 is never taken; the others are cut after the second token.
    EXPECT_TRUE((ids[2] == 1 || ids[2] == 2) && ids[3] == 0);
    EXPECT_EQ(mask, (std::vector<std::int64_t>{1, 1, 1, 1}));
    EXPECT_EQ(y, (std::vector<std::int64_t>{kNo, kNo, ids[2], 0}));
    seen.insert(ids);
  }
  EXPECT_EQ(seen.size(), 2u);
  b.is_forget = torch::tensor({1.0f, 0.0f});
  const Batch kept = task->corrupted(b, "uniform_other", Rng(1, "relabel"));
  EXPECT_EQ(row(kept.labels, 1), row(b.labels, 1));
  EXPECT_NE(row(kept.labels, 0), row(b.labels, 0));
  EXPECT_EQ(row(b.inputs.at("input_ids"), 0), (std::vector<std::int64_t>{1, 2, 0, 1}));  // untouched
}

TEST(CausalLm, PrefersRefusals) {
  const auto task = tasks::make_causal_lm(3, answers());
  const Batch b = two_texts();
  std::set<std::vector<std::int64_t>> seen;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Batch other = task->preferred(b, Rng(seed, "relabel"));
    seen.insert(row(other.labels, 0));
    EXPECT_EQ(row(other.inputs.at("attention_mask"), 0)[0], 1);
  }
  EXPECT_EQ(seen, (std::set<std::vector<std::int64_t>>{{kNo, 2, 2, kNo}, {kNo, 0, kNo, kNo}}));
}

TEST(CausalLm, DrawsTokensFromTheOutputs) {
  const auto task = tasks::make_causal_lm(3, answers());
  Batch b = two_texts();
  std::vector<double> counts(3);
  const int draws = 4000;
  for (int i = 0; i < draws; ++i) {
    const torch::Tensor y = task->drawn(outputs(b), b, Rng(static_cast<std::uint64_t>(i), "fisher"));
    EXPECT_EQ(y[0][0].item<std::int64_t>(), kNo);
    EXPECT_EQ(y[1][3].item<std::int64_t>(), kNo);
    counts[static_cast<std::size_t>(y[0][1].item<std::int64_t>())] += 1;
  }
  for (int k = 0; k < 3; ++k)  // softmax(0, 1, 2), three standard errors
    EXPECT_NEAR(counts[static_cast<std::size_t>(k)] / draws, std::exp(-nll({0, 1, 2}, k)),
                3 * 0.5 / std::sqrt(draws));
}

}  // namespace
}  // namespace expunge
