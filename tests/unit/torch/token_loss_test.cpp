// Log-probabilities of tokens beside log_softmax and gather.
#include "tasks/token_loss.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace expunge::tasks {
namespace {

torch::Tensor by_aten(const torch::Tensor& ids, const torch::Tensor& logits) {
  return at::log_softmax(logits, -1, torch::kFloat).gather(-1, ids.clamp_min(0).unsqueeze(-1)).squeeze(-1) *
         ids.ge(0).to(torch::kFloat);
}

// Rows wider than what passes through the caches at once, and rows of which several do.
class TokenLoss : public testing::TestWithParam<std::int64_t> {};

TEST_P(TokenLoss, EqualsATenWithItsGradient) {
  const std::int64_t vocabulary = GetParam();
  const torch::Tensor ids = torch::tensor({2, -100, 0, -100, 6, 5}, torch::kLong).view({2, 3});
  const torch::Tensor start = (torch::arange(6 * vocabulary, torch::kFloat) * 0.9).sin().mul(4);
  for (const auto type : {torch::kFloat, torch::kBFloat16}) {
    const auto leaf = [&] { return start.to(type).view({2, 3, vocabulary}).clone().set_requires_grad(true); };
    const torch::Tensor a = leaf(), b = leaf(), weight = torch::linspace(-1, 2, 6).view({2, 3});
    const torch::Tensor ours = log_probability_of(ids, a), theirs = by_aten(ids, b);
    EXPECT_TRUE(at::allclose(ours, theirs, 1e-6, 1e-6));
    (ours * weight).sum().backward();
    (theirs * weight).sum().backward();
    const double close = type == torch::kFloat ? 1e-6 : 1e-2;
    EXPECT_TRUE(at::allclose(a.grad().to(torch::kFloat), b.grad().to(torch::kFloat), close, close));
    EXPECT_EQ(a.grad()[0][1].abs().sum().item<double>(), 0);  // nothing was asked there
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, TokenLoss, testing::Values(7, 1000, 70000));

TEST(TokenLoss, IsLogOfTheShare) {
  const torch::Tensor logits = torch::tensor({0.0f, std::log(3.0f)}).view({1, 2});
  EXPECT_NEAR(log_probability_of(torch::tensor({1}, torch::kLong), logits).item<double>(), std::log(0.75),
              1e-6);
}

}  // namespace
}  // namespace expunge::tasks
