// What layers keep for the backward pass, as descriptors count it, against what LibTorch holds.
#include "models/activations.hpp"

#include <gtest/gtest.h>

#include "models/torch/recompute.hpp"
#include "tests/unit/torch/live_bytes.hpp"
#include "tests/unit/torch/tiny_families.hpp"

namespace expunge {
namespace {

using nlohmann::json;

// Large enough for sizes of maps to matter more than those of statistics, masks and heads.
json grown(json config) {
  const std::string type = config.at("model_type");
  if (type == "distilbert")
    config.update({{"dim", 48}, {"hidden_dim", 160}, {"max_position_embeddings", 32}});
  else if (test::reads_text(config))
    config.update({{"hidden_size", 48}, {"intermediate_size", 160}, {"max_position_embeddings", 32}});
  if (type == "vit")
    config.update(
        {{"patch_size", 2}, {"hidden_size", 32}, {"intermediate_size", 96}, {"num_hidden_layers", 3}});
  if (type == "swin") config.update({{"embed_dim", 32}, {"num_heads", {2, 4}}, {"window_size", 4}});
  if (type == "convnext") config.update({{"hidden_sizes", {24, 48}}, {"drop_path_rate", 0.0}});
  if (type == "resnet") config.update({{"embedding_size", 16}, {"hidden_sizes", {16, 32}}});
  if (type == "mobilenet_v2") config.update({{"depth_multiplier", 0.5}});
  return config;
}

std::vector<json> families() {
  std::vector<json> out;
  for (const auto& config : test::tiny_families()) out.push_back(grown(config));
  out.push_back({{"model_type", "llama"},
                 {"vocab_size", 23},
                 {"hidden_size", 48},
                 {"num_hidden_layers", 3},
                 {"num_attention_heads", 4},
                 {"num_key_value_heads", 4},
                 {"intermediate_size", 128}});
  return out;
}

class Activations : public testing::TestWithParam<json> {
 protected:
  // Numbers of one sample that are alive between the passes, of 16; and the most at any time.
  struct Held {
    double between, peak;
  };
  Held measured(bool recompute) const {
    constexpr std::int64_t kSamples = 16;
    const auto model = models::build(GetParam());
    model->initialize(Rng(1, "init"));
    model->train();
    models::Tensors inputs = test::tiny_inputs(GetParam(), kSamples);
    if (inputs.count("input_ids"))  // longer texts
      for (auto& [name, value] : inputs) value = value.repeat({1, 3}).narrow(1, 0, kTokens).contiguous();
    for (models::BatchNorm* bn : model->batch_norms())
      bn->batch_mean = torch::zeros_like(bn->running_mean),
      bn->batch_var = torch::zeros_like(bn->running_var);
    for (auto& p : model->parameters()) p.mutable_grad() = torch::zeros_like(p);
    const models::Recomputing recomputing(recompute);
    const test::LiveBytes bytes;
    const auto of_sample = [](std::int64_t b) { return static_cast<double>(b) / (4.0 * kSamples); };
    const torch::Tensor loss = model->forward(inputs).at("logits").to(torch::kFloat).square().sum();
    const double between = of_sample(bytes.now());
    loss.backward();
    return {between, of_sample(bytes.peak())};
  }
  models::Activations declared() const {
    const auto& d = *models::find_by_model_type(GetParam().at("model_type"));
    const bool text = test::reads_text(GetParam());
    return models::activations_of(d, GetParam(), text ? 1 : 16, text ? kTokens : 16);
  }
  static constexpr std::int64_t kTokens = 30;
};

TEST_P(Activations, AreThoseThatAreKept) {
  const auto d = declared();
  const auto held = measured(false);
  EXPECT_NEAR(d.kept / held.between, 1, 0.15);
  EXPECT_NEAR((d.kept + d.moving) / held.peak, 1, 0.25);
}

TEST_P(Activations, AreFewerWhereBlocksRunAgain) {
  const auto d = declared();
  if (d.recomputed == d.kept) GTEST_SKIP() << "has no such blocks";
  // An estimate from above where blocks are as small as here.
  const double ratio = (d.recomputed + d.moving) / measured(true).peak;
  EXPECT_GT(ratio, 0.7);
  EXPECT_LT(ratio, 1.6);
}

INSTANTIATE_TEST_SUITE_P(Families, Activations, testing::ValuesIn(families()),
                         [](const auto& info) { return test::family_name(info.param); });

}  // namespace
}  // namespace expunge
