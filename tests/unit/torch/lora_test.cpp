// Low-rank adapters against their definition, and their price against the count of operations.
#include <gtest/gtest.h>

#include "models/torch/blocks.hpp"
#include "models/trainable.hpp"
#include "tensor/flat_parameters.hpp"
#include "tensor/flop_counter.hpp"

namespace expunge {
namespace {

struct Adapted {
  std::shared_ptr<models::Model> plain, model;
  models::Trainable trainable;
  models::Tensors input;
  models::Cost cost;
};

Adapted adapted(std::int64_t layers, double dropout, double alpha = 0) {
  const models::InputShape shape{3, 12, 8, 5};
  const auto* d = models::find_descriptor("vit_tiny_patch4");
  auto config = d->config("vit_tiny_patch4", shape);
  config.update({{"num_hidden_layers", layers}, {"hidden_size", 24}, {"intermediate_size", 40}});
  Adapted out{models::build(config),
              models::build(config),
              models::resolve_trainable("lora:r=4", *d, config),
              {{"pixel_values", torch::randn({3, 3, 12, 8})}},
              {}};
  for (const auto& model : {out.plain, out.model}) model->initialize(Rng(5, "init"));
  models::add_adapters(*out.model, out.trainable.projections, out.trainable.rank, alpha, dropout,
                       Rng(6, "lora"));
  out.cost = models::cost_of(*d, config, shape.height, shape.width, out.trainable);
  return out;
}

torch::Tensor logits(models::Model& model, const models::Tensors& input) {
  return model.forward(input).at("logits");
}

void fill_b(models::Model& model) {
  const torch::NoGradGuard no_grad;
  for (auto& p : model.named_parameters())
    if (p.key().find("lora_B") != std::string::npos) models::fill_normal(p.value(), Rng(7, p.key()), 0.3);
}

TEST(Lora, LeavesTheOutputsAsTheyWere) {
  const auto a = adapted(2, 0.1);
  EXPECT_TRUE(logits(*a.model, a.input).equal(logits(*a.plain, a.input)));
}

TEST(Lora, AddsTheScaledProduct) {
  auto a = adapted(1, 0, 8);  // scale 8 / 4
  fill_b(*a.model);
  const auto p = a.model->named_parameters();
  const torch::NoGradGuard no_grad;
  for (const char* which : {"query", "value"}) {
    const std::string name = std::string("vit.encoder.layer.0.attention.attention.") + which;
    a.plain->named_parameters()[name + ".weight"].add_(at::mm(p[name + ".lora_B"], p[name + ".lora_A"]) *
                                                       2.0);
  }
  a.plain->eval(), a.model->eval();
  EXPECT_LE((logits(*a.model, a.input) - logits(*a.plain, a.input)).abs().max().item<double>(), 1e-5);
}

TEST(Lora, MergesIntoTheSameFunction) {
  auto a = adapted(2, 0.1);
  fill_b(*a.model);
  a.model->eval();
  const torch::Tensor before = logits(*a.model, a.input);
  for (const auto& module : a.model->modules(false))
    if (auto* linear = dynamic_cast<models::Linear*>(module.get()); linear && linear->lora_a.defined())
      linear->merge_adapter();
  EXPECT_LE((logits(*a.model, a.input) - before).abs().max().item<double>(), 1e-5);
  EXPECT_FALSE(a.model->named_parameters()["vit.encoder.layer.0.attention.attention.query.weight"].equal(
      a.plain->named_parameters()["vit.encoder.layer.0.attention.attention.query.weight"]));
}

TEST(Lora, CostsWhatIsCounted) {
  for (std::int64_t layers : {1, 3}) {
    auto a = adapted(layers, 0.1);
    const tensor::FlatParameters flat(
        *a.model, torch::kCPU, [&](const std::string& name) { return a.trainable.trains(name); }, "all");
    EXPECT_EQ(flat.trainable.numel(), a.trainable.parameters);
    a.model->train();
    torch::Tensor loss;
    tensor::FlopCounter counter;
    loss = logits(*a.model, a.input).sum();
    EXPECT_EQ(counter.flops(), static_cast<std::int64_t>(3 * a.cost.forward)) << layers;
    const auto forward = counter.flops();
    loss.backward();
    EXPECT_EQ(counter.flops() - forward, static_cast<std::int64_t>(3 * a.cost.backward)) << layers;
  }
}

// The two-tower model: price and parameters in full and with its fusion module alone.
TEST(TwoTower, CostsWhatIsCounted) {
  const auto* d = models::find_descriptor("two_tower");
  ASSERT_NE(d, nullptr);
  const models::InputShape shape{
      .channels = 3, .height = 30, .width = 21, .classes = 2, .tokens = 5, .vocabulary = 50};
  const auto config = d->config("two_tower", shape);
  for (const char* text : {"all", "fusion"}) {
    const auto trainable = models::resolve_trainable(text, *d, config);
    const auto cost = models::cost_of(*d, config, shape.height, shape.width, trainable);
    const auto model = models::build(config);
    model->initialize(Rng(5, "init"));
    const tensor::FlatParameters flat(
        *model, torch::kCPU, [&](const std::string& name) { return trainable.trains(name); }, "all");
    EXPECT_EQ(flat.trainable.numel(), trainable.parameters) << text;
    EXPECT_EQ(flat.trainable.numel() + flat.frozen.numel(), d->parameters(config));
    const models::Tensors input{{"pixel_values", torch::randn({4, 3, 30, 21})},
                                {"input_ids", torch::randint(0, 50, {4, 5}, torch::kLong)}};
    const tensor::FlopCounter counter;
    const torch::Tensor loss = logits(*model, input).sum();
    const auto forward = counter.flops();
    EXPECT_EQ(forward, static_cast<std::int64_t>(4 * cost.forward)) << text;
    loss.backward();
    EXPECT_EQ(counter.flops() - forward, static_cast<std::int64_t>(4 * cost.backward)) << text;
  }
}

// Padding is no word, and the features are what the head and multidelete read.
TEST(TwoTower, IgnoresPaddingAndExposesFeatures) {
  const auto* d = models::find_descriptor("two_tower");
  const auto model = models::build(d->config("two_tower", {3, 32, 32, 2, 4, 50}));
  model->initialize(Rng(5, "init"));
  model->eval();
  const torch::Tensor pixels = torch::randn({1, 3, 32, 32});
  const auto outputs = [&](std::vector<std::int64_t> ids) {
    return model->forward(
        {{"pixel_values", pixels}, {"input_ids", torch::tensor(ids, torch::kLong).unsqueeze(0)}});
  };
  const auto a = outputs({7, 9, 0, 0}), b = outputs({7, 9}), c = outputs({7, 8});
  for (const char* name : {"image", "text", "fused", "logits"}) {
    ASSERT_TRUE(a.count(name));
    EXPECT_TRUE(a.at(name).allclose(b.at(name), 1e-6, 1e-6)) << name;
  }
  EXPECT_TRUE(a.at("image").equal(c.at("image")));
  EXPECT_FALSE(a.at("text").equal(c.at("text")));
}

}  // namespace
}  // namespace expunge
