// Counted FLOPs against hand values, and every family's analytic price against what LibTorch really runs.
#include <gtest/gtest.h>

#include <thread>

#include "models/descriptor.hpp"
#include "models/torch/model.hpp"
#include "tensor/flop_counter.hpp"

namespace expunge {
namespace {

using tensor::FlopCounter;

template <class F>
std::int64_t count(F&& f) {
  const FlopCounter counter;
  f();
  return counter.flops();
}

torch::Tensor ones(std::vector<std::int64_t> shape, bool gradient = false) {
  return torch::ones(shape).set_requires_grad(gradient);
}

constexpr std::int64_t kNone = 0;  // padding

TEST(FlopCounter, CountsMatrixProducts) {
  EXPECT_EQ(count([] { at::mm(ones({3, 4}), ones({4, 5})); }), 2 * 3 * 4 * 5);
  EXPECT_EQ(count([] { at::bmm(ones({7, 3, 4}), ones({7, 4, 5})); }), 7 * 2 * 3 * 4 * 5);
  EXPECT_EQ(count([] { at::baddbmm(ones({7, 3, 5}), ones({7, 3, 4}), ones({7, 4, 5})); }), 7 * 2 * 3 * 4 * 5);
  EXPECT_EQ(count([] { at::linear(ones({3, 4}), ones({5, 4}), ones({5})); }), 2 * 3 * 4 * 5);
  EXPECT_EQ(count([] { at::linear(ones({2, 3, 4}), ones({5, 4}), ones({5})); }), 2 * 2 * 3 * 4 * 5);
  EXPECT_EQ(count([] { at::matmul(ones({2, 7, 3, 4}), ones({2, 7, 4, 5})); }), 14 * 2 * 3 * 4 * 5);
  EXPECT_EQ(count([] { at::relu(ones({3, 4})) + 1; }), 0);
}

TEST(FlopCounter, CountsConvolutions) {
  // 5x7 input, 3x3 kernel, stride 2, padding 1: 3x4 positions.
  EXPECT_EQ(count([] {
              at::conv2d(ones({2, 4, 5, 7}), ones({6, 4, 3, 3}), {}, {2, 2}, {1, 1});
            }),
            2 * 2 * (3 * 4) * 6 * 4 * 9);
  EXPECT_EQ(count([] {
              at::conv2d(ones({2, 4, 5, 7}), ones({6, 2, 3, 3}), {}, 1, kNone, 1, 2);
            }),  // 2 groups
            2 * 2 * (3 * 5) * 6 * 2 * 9);
  EXPECT_EQ(count([] {
              at::conv2d(ones({1, 1, 9, 9}), ones({1, 1, 3, 3}), {}, 1, kNone, 2);
            }),
            2 * 25 * 9);  // dilated
  EXPECT_EQ(count([] { at::conv1d(ones({2, 4, 8}), ones({6, 4, 3})); }), 2 * 2 * 6 * 6 * 4 * 3);
  EXPECT_EQ(count([] {
              at::conv_transpose2d(ones({2, 4, 5, 5}), ones({4, 6, 2, 2}), {}, 2);
            }),
            2 * 2 * 25 * 4 * 6 * 4);
}

TEST(FlopCounter, BackwardCountsOnlyWhatIsComputed) {
  const std::int64_t one = 2 * 2 * 25 * 6 * 4 * 9;
  const auto conv = [&](bool input, bool weight) {
    const torch::Tensor y = at::conv2d(ones({2, 4, 5, 5}, input), ones({6, 4, 3, 3}, weight), {}, 1, 1);
    return count([&] { y.sum().backward(); });
  };
  EXPECT_EQ(conv(false, true), one);
  EXPECT_EQ(conv(true, false), one);
  EXPECT_EQ(conv(true, true), 2 * one);
  const torch::Tensor y = at::linear(ones({3, 4}), ones({5, 4}, true), ones({5}, true));
  EXPECT_EQ(count([&] { y.sum().backward(); }), 2 * 3 * 4 * 5);
}

TEST(FlopCounter, NestsAndSeesOtherThreads) {
  const FlopCounter outer;
  EXPECT_EQ(count([] { std::thread([] { at::mm(ones({3, 4}), ones({4, 5})); }).join(); }), 120);
  at::mm(ones({3, 4}), ones({4, 5}));
  EXPECT_EQ(outer.flops(), 240);
}

struct Shape {
  std::string model;
  models::InputShape input;
  nlohmann::json changes = nlohmann::json::object();  // to its config.json
};

class Prices : public testing::TestWithParam<Shape> {};

TEST_P(Prices, EqualTheCount) {
  const auto& [name, input, changes] = GetParam();
  const auto* descriptor = models::find_descriptor(name);
  ASSERT_NE(descriptor, nullptr);
  auto config = descriptor->config(name, input);
  config.update(changes);
  const auto cost = descriptor->cost(config, input.height, input.width);
  const auto model = models::build(config);
  model->initialize(Rng(1, "init"));
  model->train();
  // Prices are of whole kernels. Floats on small maps pass over what meets padding alone; doubles do not.
  model->to(torch::kDouble);
  const std::int64_t n = 3;
  const torch::Tensor pixels = torch::ones({n, input.channels, input.height, input.width}, torch::kDouble);
  torch::Tensor loss;
  EXPECT_EQ(count([&] {
              loss = model->forward({{"pixel_values", pixels}}).at("logits").sum();
            }),
            static_cast<std::int64_t>(static_cast<double>(n) * cost.forward));
  EXPECT_EQ(count([&] { loss.backward(); }),
            static_cast<std::int64_t>(static_cast<double>(n) * cost.backward));

  std::int64_t numbers = 0;
  for (const auto& p : model->parameters()) numbers += p.numel();
  EXPECT_EQ(numbers, descriptor->parameters(config));
  EXPECT_EQ(descriptor->has_batch_norm, !model->batch_norms().empty());
}

const nlohmann::json kShallow{{"depths", {2, 1, 1, 1}}}, kTwoLayers{{"num_hidden_layers", 2}};

INSTANTIATE_TEST_SUITE_P(
    Models, Prices,
    testing::Values(
        Shape{"resnet8", {1, 28, 28, 10}}, Shape{"resnet20", {3, 32, 32, 100}},
        Shape{"resnet8", {3, 33, 30, 7}}, Shape{"resnet18", {3, 32, 32, 10}},
        Shape{"resnet18", {1, 45, 64, 3}, kShallow}, Shape{"resnet50", {3, 40, 33, 5}, kShallow},
        Shape{"resnet50", {3, 32, 32, 5}, {{"depths", {1, 2, 1, 1}}, {"downsample_in_first_stage", true}}},
        Shape{"resnet50", {3, 32, 32, 5}, {{"depths", {1, 1, 1, 2}}, {"downsample_in_bottleneck", true}}},
        Shape{"vit_tiny_patch4", {1, 28, 28, 10}, kTwoLayers},
        Shape{"vit_tiny_patch4", {3, 30, 21, 5}, kTwoLayers},
        Shape{"vit_small", {3, 32, 48, 10}, {{"num_hidden_layers", 1}, {"qkv_bias", false}}}),
    [](const auto& info) { return info.param.model + "_" + std::to_string(info.index); });

}  // namespace
}  // namespace expunge
