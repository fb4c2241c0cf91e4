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

}  // namespace
}  // namespace expunge
