// Casts shared by the grains of a step: the same bits as casts of each pass, gradients included, also after
// a pass without gradients.
#include "engine/autocast.hpp"

#include <gtest/gtest.h>

namespace expunge {
namespace {

struct Passes {
  torch::Tensor weight, gradient, outputs;
};

Passes two_passes(bool shared, bool plain_first) {
  at::manual_seed(3);
  Passes out;
  out.weight = torch::randn({48, 32});
  const torch::Tensor x = torch::randn({2, 16, 32});
  out.weight.set_requires_grad(true);
  std::vector<torch::Tensor> outputs;
  {
    const SharedCasts casts(shared);
    const auto forward = [&](int grain) {
      const Autocast autocast(torch::kCPU, true);
      return at::linear(x[grain], out.weight);
    };
    if (plain_first) {
      const torch::NoGradGuard no_grad;
      EXPECT_EQ(forward(0).scalar_type(), torch::kBFloat16);
    }
    for (int grain = 0; grain < 2; ++grain) {
      const torch::Tensor y = forward(grain);
      EXPECT_TRUE(y.requires_grad());
      outputs.push_back(y.detach());
      y.to(torch::kFloat).square().sum().backward();
    }
  }
  out.gradient = out.weight.grad();
  out.outputs = torch::stack(outputs);
  return out;
}

TEST(SharedCasts, ChangeNoBit) {
  const auto apart = two_passes(false, false);
  ASSERT_TRUE(apart.gradient.defined());
  EXPECT_GT(apart.gradient.abs().max().item<float>(), 0);
  for (const bool plain_first : {false, true}) {
    const auto shared = two_passes(true, plain_first);
    EXPECT_TRUE(torch::equal(shared.outputs, apart.outputs));
    ASSERT_TRUE(shared.gradient.defined());
    EXPECT_TRUE(torch::equal(shared.gradient, apart.gradient));
  }
}

TEST(SharedCasts, ForgetWeightsAtTheirEnd) {
  at::manual_seed(3);
  torch::Tensor weight = torch::ones({8, 8}).set_requires_grad(true);
  const torch::Tensor x = torch::ones({1, 8});
  const auto forward = [&] {
    const SharedCasts casts(true);
    const Autocast autocast(torch::kCPU, true);
    return at::linear(x, weight).sum().item<float>();
  };
  EXPECT_EQ(forward(), 64);
  {
    const torch::NoGradGuard no_grad;
    weight.fill_(2);
  }
  EXPECT_EQ(forward(), 128);
  EXPECT_TRUE(at::autocast::is_autocast_cache_enabled());
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
}

}  // namespace
}  // namespace expunge
