// Flat-buffer optimisers against scalar formulas in double, and clipping and schedules against hand values.
#include <gtest/gtest.h>

#include <cmath>

#include "comm/gpu.hpp"
#include "core/error.hpp"
#include "core/rng.hpp"
#include "tensor/flat_parameters.hpp"
#include "tensor/kernels.hpp"
#include "tensor/optimizer.hpp"
#include "tensor/untouched.hpp"

namespace expunge {
namespace {

struct Dense : torch::nn::Module {
  torch::Tensor weight, bias;
  Dense() {
    weight = register_parameter("weight", torch::zeros({5, 7}));
    bias = register_parameter("bias", torch::zeros({3}));
  }
};

struct Pair : torch::nn::Module {
  std::shared_ptr<Dense> dense = register_module("dense", std::make_shared<Dense>());
  torch::Tensor &weight = dense->weight, &bias = dense->bias;
};

std::vector<double> trace(const config::OptimizerOptions& o, double decay, std::vector<double> p,
                          const std::vector<std::vector<double>>& grads) {
  std::vector<double> m(p.size()), v(p.size());
  for (std::size_t t = 1; t <= grads.size(); ++t)
    for (std::size_t i = 0; i < p.size(); ++i) {
      double g = grads[t - 1][i];
      if (o.name == "adamw")
        p[i] *= 1 - o.lr * decay;
      else
        g += decay * p[i];
      if (o.name == "sgd") {
        m[i] = t == 1 ? g : o.momentum * m[i] + g;
        p[i] -= o.lr * (o.momentum > 0 ? m[i] : g);
        continue;
      }
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * g;
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * g * g;
      const double mh = m[i] / (1 - std::pow(o.beta1, t)), vh = v[i] / (1 - std::pow(o.beta2, t));
      p[i] -= o.lr * mh / (std::sqrt(vh) + o.eps);
    }
  return p;
}

class Optimizers : public testing::TestWithParam<std::string> {};

TEST_P(Optimizers, FollowTheirFormulas) {
  Pair module;
  tensor::FlatParameters flat(
      module, torch::kCPU, [](const std::string&) { return true; }, "trainer");
  config::OptimizerOptions o;
  o.name = GetParam(), o.lr = 0.05, o.weight_decay = 0.1, o.momentum = o.name == "sgd" ? 0.9 : 0;
  tensor::Optimizer optimizer(o, flat.trainable);
  const Rng rng(3, "optimizer_test");
  for (std::size_t e = 0; e < 2; ++e)
    for (std::int64_t i = 0; i < flat.trainable.entries[e].numel; ++i)
      flat.trainable.view(e).view({-1})[i] = rng.normal(e * 100 + i);
  std::vector<double> start;
  for (std::size_t e = 0; e < 2; ++e)
    for (std::int64_t i = 0; i < flat.trainable.entries[e].numel; ++i)
      start.push_back(flat.trainable.view(e).view({-1})[i].item<double>());
  std::vector<std::vector<double>> grads;
  for (int t = 0; t < 6; ++t) {
    torch::Tensor g = torch::zeros_like(flat.trainable.values);
    grads.emplace_back();
    for (std::size_t e = 0; e < 2; ++e)
      for (std::int64_t i = 0; i < flat.trainable.entries[e].numel; ++i) {
        const float x = static_cast<float>(rng.normal(1000 * (t + 1) + e * 100 + i));
        flat.trainable.view_of(g, e).view({-1})[i] = x;
        grads.back().push_back(x);
      }
    optimizer.step(flat.trainable, g, 1, 1);
  }
  const std::vector<double> weights(start.begin(), start.begin() + 35),
      biases(start.begin() + 35, start.end());
  std::vector<std::vector<double>> gw, gb;
  for (const auto& g : grads)
    gw.emplace_back(g.begin(), g.begin() + 35), gb.emplace_back(g.begin() + 35, g.end());
  const auto want_w = trace(o, 0.1, weights, gw), want_b = trace(o, 0.0, biases, gb);  // biases do not decay
  for (std::size_t i = 0; i < 35; ++i)
    EXPECT_NEAR(flat.trainable.view(0).view({-1})[i].item<double>(), want_w[i], 2e-6);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(flat.trainable.view(1)[i].item<double>(), want_b[i], 2e-6);
}
// Steps on slices that cut parameters anywhere are one step on all.
TEST_P(Optimizers, GiveTheSameBitsInSlices) {
  Pair whole, cut;
  const auto all = [](const std::string&) { return true; };
  tensor::FlatParameters a(whole, torch::kCPU, all, "trainer"), b(cut, torch::kCPU, all, "trainer");
  config::OptimizerOptions o;
  o.name = GetParam(), o.lr = 0.05, o.weight_decay = 0.1, o.momentum = o.name == "sgd" ? 0.9 : 0;
  const std::int64_t n = a.trainable.size(), at = 21;
  tensor::Optimizer one(o, a.trainable), first(o, b.trainable), second(o, b.trainable);
  for (int t = 0; t < 3; ++t) {
    const torch::Tensor g = torch::linspace(-1, 1 + t, n);
    one.step(a.trainable, g, 0.5, 0.25);
    first.step_slice(b.trainable, g, 0.5, 0.25, 0, at);
    second.step_slice(b.trainable, g, 0.5, 0.25, at, n);
  }
  EXPECT_TRUE(a.trainable.view(0).equal(b.trainable.view(0)));
  EXPECT_TRUE(a.trainable.view(1).equal(b.trainable.view(1)));
  for (const auto& [name, state] : one.state()) {
    EXPECT_TRUE(state.narrow(0, 0, at).equal(first.state().at(name).narrow(0, 0, at))) << name;
    EXPECT_EQ(first.state().at(name).narrow(0, at, n - at).abs().max().item<float>(), 0) << name;
  }
}

TEST(GradientNorm, IsThatOfItsBlocks) {
  const torch::Tensor g = torch::linspace(-3, 2, 3 * tensor::kBlock + 17);
  auto squares = tensor::block_squares(g, 0, tensor::kBlock);
  const auto rest = tensor::block_squares(g, tensor::kBlock, g.numel());
  squares.insert(squares.end(), rest.begin(), rest.end());
  ASSERT_EQ(squares.size(), 4u);
  EXPECT_EQ(tensor::norm_of_blocks(squares), tensor::gradient_norm(g));
  EXPECT_NEAR(tensor::gradient_norm(g), g.to(torch::kDouble).norm().item<double>(), 1e-6);
  EXPECT_THROW(tensor::block_squares(g, 1, 5), InternalError);
}

TEST(UntouchedZeros, AreZeroAndForgetWhatIsOutsideOfASlice) {
  const std::int64_t n = std::int64_t{1} << 24;
  torch::Tensor z = tensor::untouched_zeros(n, torch::kCPU);
  EXPECT_EQ(z.abs().max().item<float>(), 0);
  z.fill_(1);
  tensor::release_outside(z, n / 2, n / 2 + n / 16);
  EXPECT_EQ(z.narrow(0, n / 2, n / 16).min().item<float>(), 1);
  EXPECT_EQ(z.narrow(0, 0, n / 4).max().item<float>(), 0);
  EXPECT_EQ(z.narrow(0, 3 * n / 4, n / 8).max().item<float>(), 0);
  torch::Tensor small = tensor::untouched_zeros(5, torch::kCPU);
  small.fill_(1);
  tensor::release_outside(small, 1, 2);
  EXPECT_EQ(small.min().item<float>(), 1);
}

// Specification G15 and the properties of its card.
TEST(Sophia, FollowsItsFormula) {
  struct Case {
    double bs;
    bool twice;
    double m, ratio;
  };
  for (const auto& c :
       {Case{64, false, 0.05, 1}, {5120, false, 0.05, 0.01953125}, {5120, true, 0.095, 0.095 / 2.56}}) {
    Pair module;
    tensor::FlatParameters flat(
        module, torch::kCPU, [](const std::string&) { return true; }, "all");
    config::OptimizerOptions o;
    o.name = "sophia", o.lr = 0.01, o.beta2 = 0.95, o.sophia_bs = c.bs, o.double_ema = c.twice;
    tensor::Optimizer optimizer(o, flat.trainable);
    optimizer.step(flat.trainable, torch::full_like(flat.trainable.values, 0.5), 1, 1);
    EXPECT_NEAR(flat.trainable.values[0].item<double>(), -0.01 * c.ratio, 1e-8);
    EXPECT_NEAR(optimizer.state().at("m")[0].item<double>(), c.m, 1e-7);
    EXPECT_NEAR(optimizer.state().at("h")[0].item<double>(), 0.0125, 1e-8);
    optimizer.step(flat.trainable, torch::zeros_like(flat.trainable.values), 0, 1);
    EXPECT_NEAR(flat.trainable.values[0].item<double>(), -0.01 * c.ratio, 1e-8);
  }
}

TEST(Sophia, NeverMovesFartherThanTheRateAndDecaysDecoupled) {
  Pair module;
  tensor::FlatParameters flat(
      module, torch::kCPU, [](const std::string&) { return true; }, "trainer");
  const torch::NoGradGuard no_grad;
  flat.trainable.values.fill_(2);
  config::OptimizerOptions o;
  o.name = "sophia", o.lr = 0.01, o.beta2 = 0.95, o.weight_decay = 0.1;
  tensor::Optimizer optimizer(o, flat.trainable);
  torch::Tensor gradient = torch::zeros_like(flat.trainable.values);
  for (std::int64_t i = 0; i < gradient.numel(); ++i)
    gradient[i] = std::pow(10.0, i % 9 - 5) * (i % 2 ? 1 : -1);
  optimizer.step(flat.trainable, gradient, 1, 1);
  for (std::int64_t i = 0; i < 35; ++i)  // the weights; biases do not decay
    EXPECT_LE(std::fabs(flat.trainable.values[i].item<double>() - 2 * (1 - 0.001)), 0.01 + 1e-6);
  EXPECT_LE(std::fabs(flat.trainable.view(1)[0].item<double>() - 2), 0.01 + 1e-6);
}

INSTANTIATE_TEST_SUITE_P(All, Optimizers, testing::Values("adamw", "adam", "sgd"));

TEST(FlatParameters, StartOnCacheLinesAndHashIgnoresPadding) {
  Pair module;
  tensor::FlatParameters flat(
      module, torch::kCPU, [](const std::string&) { return true; }, "all");
  EXPECT_EQ(flat.trainable.entries[1].offset, 48);  // 35 floats, rounded up to 64 bytes
  EXPECT_EQ(flat.trainable.numel(), 38);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(module.bias.data_ptr()) % 64, 0u);
  const auto before = flat.hash();
  flat.trainable.values[40] = 1;  // padding
  EXPECT_EQ(flat.hash(), before);
  module.weight.data().view({-1})[3] = 1;
  EXPECT_NE(flat.hash(), before);
}

TEST(FlatParameters, GradientsLandInTheBoundBuffer) {
  Pair module;
  tensor::FlatParameters flat(
      module, torch::kCPU, [](const std::string& n) { return n != "dense.bias"; }, "all");
  EXPECT_EQ(flat.frozen.numel(), 3);
  EXPECT_FALSE(module.bias.requires_grad());
  torch::Tensor gradient = torch::zeros({flat.trainable.size()});
  flat.bind_gradients(gradient);
  (module.weight * torch::arange(35, torch::kFloat).view({5, 7})).sum().backward();
  for (int i = 0; i < 35; ++i) EXPECT_EQ(gradient[i].item<float>(), static_cast<float>(i));
}

TEST(Kernels, SumOfSquaresMatchesTheFormula) {
  const std::int64_t n = 3 * tensor::kBlock + 17;
  std::vector<float> x(static_cast<std::size_t>(n));
  double want = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    x[static_cast<std::size_t>(i)] = static_cast<float>(i % 7) - 3;
    want += static_cast<double>(x[static_cast<std::size_t>(i)]) * x[static_cast<std::size_t>(i)];
  }
  EXPECT_EQ(tensor::sum_of_squares(x.data(), n), want);  // integers: exact in any order
}

TEST(Schedule, HandValues) {
  config::TrainOptions o;
  o.schedule = "linear";
  EXPECT_DOUBLE_EQ(tensor::schedule_factor(o, 0, 20, 0), 1.0);
  EXPECT_DOUBLE_EQ(tensor::schedule_factor(o, 19, 20, 0), 0.05);
  o.warmup = 0.1;
  EXPECT_DOUBLE_EQ(tensor::schedule_factor(o, 1, 20, 0), 0.5);
  EXPECT_DOUBLE_EQ(tensor::schedule_factor(o, 11, 20, 0), 0.5);
  o.warmup = 0, o.schedule = "cosine", o.optimizer.lr = 1, o.min_lr = 0.2;
  EXPECT_NEAR(tensor::schedule_factor(o, 10, 20, 0), 0.6, 1e-12);
  o.schedule = "step", o.lr_steps = {2, 4}, o.lr_decay = 0.1;
  EXPECT_DOUBLE_EQ(tensor::schedule_factor(o, 0, 20, 1), 1.0);
  EXPECT_NEAR(tensor::schedule_factor(o, 0, 20, 4), 0.01, 1e-15);
  EXPECT_DOUBLE_EQ(tensor::clip_factor(10, 0), 1.0);
  EXPECT_NEAR(tensor::clip_factor(10, 1), 0.1, 1e-7);
}

// The table of a GPU's kernels, but on the host and element by element.
const tensor::DeviceKernels kElementwise{
    [](float* p, const float* g, float* m, float* v, std::int64_t n, const std::uint8_t* decays,
       const tensor::AdamStep& decaying, const tensor::AdamStep& plain) {
      for (std::int64_t i = 0; i < n; ++i)
        tensor::adam_element(p[i], g[i], m[i], v[i], decays[i / 16] ? decaying : plain);
    },
    [](float* p, const float* g, float* buffer, std::int64_t n, const std::uint8_t* decays,
       const tensor::SgdStep& decaying, const tensor::SgdStep& plain) {
      for (std::int64_t i = 0; i < n; ++i)
        if (buffer)
          tensor::sgd_element(p[i], g[i], buffer[i], decays[i / 16] ? decaying : plain);
        else
          tensor::sgd_element(p[i], g[i], decays[i / 16] ? decaying : plain);
    },
    [](float* p, const float* g, float* m, float* h, std::int64_t n, const std::uint8_t* decays,
       const tensor::SophiaStep& decaying, const tensor::SophiaStep& plain) {
      for (std::int64_t i = 0; i < n; ++i)
        tensor::sophia_element(p[i], g[i], m[i], h[i], decays[i / 16] ? decaying : plain);
    },
    nullptr, nullptr};

// One kernel over the flat buffer, padding included, gives the bits of the loops over parameters.
TEST(Optimizers, OnADeviceGiveTheBitsOfTheHosts) {
  for (const char* name : {"adamw", "adam", "sgd", "sgd with momentum", "sophia"}) {
    config::OptimizerOptions o;
    o.name = std::string(name).substr(0, std::string(name).find(' '));
    o.lr = 0.05, o.weight_decay = 0.1, o.momentum = o.name != name ? 0.9 : 0;
    Pair here, there;
    const auto all = [](const std::string&) { return true; };
    tensor::FlatParameters a(here, torch::kCPU, all, "trainer"), b(there, torch::kCPU, all, "trainer");
    torch::Tensor start = torch::linspace(-1, 1, a.trainable.size());
    start.narrow(0, 35, 13).zero_(), start.narrow(0, 51, 13).zero_();  // padding
    a.trainable.values.copy_(start), b.trainable.values.copy_(start);
    tensor::Optimizer host(o, a.trainable), device(o, b.trainable, &kElementwise);
    for (int step = 1; step <= 4; ++step) {
      const torch::Tensor gradient = (start * (3 + step)).sin().mul_(start.ne(0));
      host.step(a.trainable, gradient, 0.5, 0.25);
      if (step % 2) {
        device.step(b.trainable, gradient, 0.5, 0.25);
      } else {  // cut where a parameter begins; both are one step
        device.step_slice(b.trainable, gradient, 0.5, 0.25, 0, 48);
        tensor::Optimizer rest(o, b.trainable, &kElementwise);
        rest.restore(device.state(), device.steps() - 1);
        rest.step_slice(b.trainable, gradient, 0.5, 0.25, 48, b.trainable.size());
        device.restore(rest.state(), rest.steps());
      }
      EXPECT_TRUE(a.trainable.values.equal(b.trainable.values)) << name << " step " << step;
    }
    EXPECT_FALSE(a.trainable.values.equal(start)) << name;
    EXPECT_EQ(b.trainable.values.narrow(0, 35, 13).abs().sum().item<float>(), 0) << name;
    for (const auto& [slot, value] : host.state())
      EXPECT_TRUE(value.equal(device.state().at(slot))) << name << " " << slot;
    EXPECT_THROW(device.step_slice(b.trainable, start, 1, 1, 8, 64), InternalError);
  }
}

TEST(Optimizers, OnAGpuGiveTheBitsOfTheHosts) {
  std::string reason;
  if (!comm::open_gpu_plugin(&reason)) GTEST_SKIP() << reason;
  const auto n = 3 * tensor::kBlock + 4321;
  const torch::Tensor x = torch::linspace(-3, 5, n).sin();
  EXPECT_EQ(tensor::gradient_norm(x), tensor::gradient_norm(x.to(torch::kCUDA)));
  for (const char* name : {"adamw", "adam", "sgd", "sophia"}) {
    config::OptimizerOptions o;
    o.name = name, o.lr = 0.05, o.weight_decay = 0.1, o.momentum = 0.9;
    Pair here, there;
    const auto all = [](const std::string&) { return true; };
    tensor::FlatParameters a(here, torch::kCPU, all, "trainer"), b(there, torch::kCUDA, all, "trainer");
    tensor::Optimizer host(o, a.trainable), device(o, b.trainable);
    for (int step = 1; step <= 4; ++step) {
      torch::Tensor gradient = torch::linspace(-1, 1, a.trainable.size()).mul_(step);
      gradient.narrow(0, 35, 13).zero_(), gradient.narrow(0, 51, 13).zero_();
      host.step(a.trainable, gradient, 0.5, 0.25);
      device.step(b.trainable, gradient.to(torch::kCUDA), 0.5, 0.25);
    }
    EXPECT_TRUE(a.trainable.values.equal(b.trainable.values.to(torch::kCPU))) << name;
  }
}

}  // namespace
}  // namespace expunge
