// The LLaMA form: published sizes, prices against what LibTorch runs, causality, bad config.json.
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "models/descriptor.hpp"
#include "models/torch/blocks.hpp"
#include "models/trainable.hpp"
#include "tensor/flat_parameters.hpp"
#include "tensor/flop_counter.hpp"

namespace expunge::models {
namespace {

const Descriptor& llama() { return *find_by_model_type("llama"); }

nlohmann::json small(std::int64_t groups) {
  return {{"model_type", "llama"},         {"vocab_size", 23},        {"hidden_size", 16},
          {"intermediate_size", 28},       {"num_hidden_layers", 2},  {"num_attention_heads", 4},
          {"num_key_value_heads", groups}, {"initializer_range", 0.2}};
}

Tensors texts(std::int64_t n, std::int64_t tokens) {
  return {{"input_ids", torch::arange(n * tokens, torch::kLong).remainder(23).view({n, tokens})},
          {"attention_mask", torch::ones({n, tokens}, torch::kLong)}};
}

// The parameters of the published checkpoints.
TEST(LlamaForm, HasThePublishedSizes) {
  const InputShape text{
      .channels = 0, .height = 1, .width = 512, .classes = 0, .tokens = 512, .vocabulary = 32000};
  for (const auto& [name, parameters] :
       {std::pair{"llama_7b", 6'738'415'616}, {"llama_13b", 13'015'864'320}, {"llama_1b", 1'100'048'384}})
    EXPECT_EQ(llama().parameters(llama().config(name, text)), parameters) << name;
  // 6.9 TFLOPs for 512 tokens of the 7B model.
  EXPECT_NEAR(llama().cost(llama().config("llama_7b", text), 1, 512).forward / 1e9, 6903, 30);
}

TEST(LlamaForm, PricesEqualTheCount) {
  for (const std::int64_t groups : {1, 2, 4})
    for (const std::int64_t tokens : {5, 12}) {
      const auto config = small(groups);
      const auto model = build(config);
      model->initialize(Rng(1, "init"));
      const auto cost = llama().cost(config, 1, tokens);
      const tensor::FlopCounter counter;
      const torch::Tensor loss = model->forward(texts(3, tokens)).at("logits").sum();
      EXPECT_EQ(static_cast<double>(counter.flops()), 3 * cost.forward);
      loss.backward();
      EXPECT_EQ(static_cast<double>(counter.flops()), 3 * (cost.forward + cost.backward));
      std::int64_t numbers = 0;
      for (const auto& p : model->parameters()) numbers += p.numel();
      EXPECT_EQ(numbers, llama().parameters(config));
    }
}

TEST(LlamaForm, AdaptersAreCountedToo) {
  const auto config = small(2);
  const auto trainable = resolve_trainable("lora:r=3", llama(), config);
  EXPECT_EQ(trainable.projections.size(), 4u);
  const auto model = build(config);
  model->initialize(Rng(1, "init"));
  add_adapters(*model, trainable.projections, trainable.rank, 0, 0, Rng(1, "lora"));
  std::int64_t numbers = 0;
  for (auto& p : model->named_parameters()) {
    p.value().set_requires_grad(trainable.trains(p.key()));
    if (trainable.trains(p.key())) numbers += p.value().numel();
  }
  EXPECT_EQ(numbers, trainable.parameters);
  const auto cost = cost_of(llama(), config, 1, 9, trainable);
  const tensor::FlopCounter counter;
  const torch::Tensor loss = model->forward(texts(2, 9)).at("logits").sum();
  EXPECT_EQ(static_cast<double>(counter.flops()), 2 * cost.forward);
  loss.backward();
  EXPECT_EQ(static_cast<double>(counter.flops()), 2 * (cost.forward + cost.backward));
}

TEST(LlamaForm, SeesNothingThatComesLaterOrIsPadding) {
  const auto model = build(small(2));
  model->initialize(Rng(3, "init"));
  const torch::NoGradGuard no_grad;
  Tensors in = texts(1, 8);
  const torch::Tensor before = model->forward(in).at("logits");
  in["input_ids"] = in["input_ids"].clone();
  in["input_ids"][0][5] = 22;
  const torch::Tensor after = model->forward(in).at("logits");
  EXPECT_TRUE(after.slice(1, 0, 5).equal(before.slice(1, 0, 5)));
  EXPECT_FALSE(after.slice(1, 5).allclose(before.slice(1, 5)));
  // Padded behind: the real positions see the same.
  Tensors padded = texts(1, 8);
  padded["attention_mask"] = padded["attention_mask"].clone();
  padded["attention_mask"].slice(1, 6).zero_();
  EXPECT_TRUE(model->forward(padded).at("logits").slice(1, 0, 6).allclose(before.slice(1, 0, 6), 1e-6, 1e-6));
}

TEST(LlamaForm, RefusesMalformedConfigs) {
  const auto refuses = [](nlohmann::json change) {
    auto config = small(2);
    config.update(change);
    EXPECT_THROW(llama().parameters(config), DataError) << change;
  };
  refuses({{"num_key_value_heads", 3}});
  refuses({{"hidden_size", 18}});
  refuses({{"head_dim", 5}});
  refuses({{"tie_word_embeddings", true}});
  refuses({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}});
  EXPECT_NO_THROW(llama().parameters({{"rope_scaling", nullptr}}));
}

}  // namespace
}  // namespace expunge::models
