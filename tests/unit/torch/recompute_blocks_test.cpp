// Blocks that run again in the backward pass: the same bits as without, less memory.
#include "models/torch/recompute.hpp"

#include <gtest/gtest.h>

#include "engine/autocast.hpp"
#include "models/torch/blocks.hpp"
#include "models/trainable.hpp"
#include "tensor/flat_parameters.hpp"
#include "tests/unit/torch/live_bytes.hpp"
#include "tests/unit/torch/tiny_families.hpp"

namespace expunge {
namespace {

using models::recomputed;
using models::Recomputing;
using nlohmann::json;

std::vector<json> families_of_blocks() {
  std::vector<json> out;
  for (const auto& config : test::tiny_families()) {
    const std::string type = config.at("model_type");
    if (type == "vit" || type == "swin" || type == "convnext" || test::reads_text(config))
      out.push_back(config);
  }
  out.push_back({{"model_type", "llama"},
                 {"vocab_size", 23},
                 {"hidden_size", 16},
                 {"num_hidden_layers", 2},
                 {"num_attention_heads", 4},
                 {"num_key_value_heads", 2},
                 {"intermediate_size", 20}});
  return out;
}

struct Trained {
  std::vector<torch::Tensor> tensors;  // outputs, and gradients after each of two backward passes
  torch::Tensor next_draw;             // of the generator, afterwards
};

struct Setting {
  bool bf16 = false, adapters = false;
};

// Two grains of a step, each with two losses on one graph, whose gradients are taken one after the other.
Trained train(const json& config, const Setting& setting, bool recompute) {
  const auto model = models::build(config);
  model->initialize(Rng(1, "init"));
  std::function<bool(const std::string&)> trains = [](const std::string&) { return true; };
  if (setting.adapters) {
    const auto trainable =
        models::resolve_trainable("lora:r=2", *models::find_by_model_type(config.at("model_type")), config);
    models::add_adapters(*model, trainable.projections, trainable.rank, 0, 0.1, Rng(2, "lora"));
    trains = [trainable](const std::string& name) { return trainable.trains(name); };
    const torch::NoGradGuard no_grad;
    for (auto& p : model->named_parameters())
      if (p.key().ends_with("lora_B")) models::fill_normal(p.value(), Rng(3, p.key()), 0.1);
  }
  tensor::FlatParameters flat(*model, torch::kCPU, trains, "all");
  torch::Tensor gradient = torch::zeros({flat.trainable.size()});
  flat.bind_gradients(gradient);
  model->train();
  Trained out;
  at::manual_seed(5);
  const SharedCasts casts(setting.bf16);
  for (const std::uint64_t grain : {3, 4}) {
    models::Tensors inputs = test::tiny_inputs(config, 3, grain), outputs;
    {
      const Autocast autocast(torch::kCPU, setting.bf16);
      const Recomputing recomputing(recompute);
      outputs = model->forward(inputs);
    }
    out.tensors.push_back(outputs.at("logits").detach().clone());
    outputs.at("logits").to(torch::kFloat).square().sum().backward({}, true);
    out.tensors.push_back(gradient.clone());
    outputs.at("features").to(torch::kFloat).sin().sum().backward();
    out.tensors.push_back(gradient.clone());
  }
  out.next_draw = torch::rand({4});
  return out;
}

void expect_same_bits(const json& config, const Setting& setting) {
  const auto plain = train(config, setting, false), again = train(config, setting, true);
  ASSERT_EQ(plain.tensors.size(), again.tensors.size());
  for (std::size_t i = 0; i < plain.tensors.size(); ++i) {
    EXPECT_TRUE(plain.tensors[i].equal(again.tensors[i])) << i;
    EXPECT_GT(plain.tensors[i].abs().max().item<float>(), 0) << i;
    EXPECT_TRUE(plain.tensors[i].isfinite().all().item<bool>()) << i;  // padded texts in bf16, too
  }
  EXPECT_TRUE(plain.next_draw.equal(again.next_draw));
}

class Recomputed : public testing::TestWithParam<json> {};

TEST_P(Recomputed, BlocksHaveTheSameBits) { expect_same_bits(GetParam(), {}); }
TEST_P(Recomputed, BlocksHaveTheSameBitsInBf16) { expect_same_bits(GetParam(), {.bf16 = true}); }
TEST_P(Recomputed, BlocksHaveTheSameBitsWithAdaptersAlone) {
  if (!models::find_by_model_type(GetParam().at("model_type"))->projections)
    GTEST_SKIP() << "has no query and value projections";
  expect_same_bits(GetParam(), {.adapters = true});
  expect_same_bits(GetParam(), {.bf16 = true, .adapters = true});
}

INSTANTIATE_TEST_SUITE_P(Tiny, Recomputed, testing::ValuesIn(families_of_blocks()),
                         [](const auto& info) { return test::family_name(info.param); });

// Of a block that counts its runs.
struct Runs {
  torch::Tensor weight = torch::ones({4}).set_requires_grad(true);
  int count = 0;
  torch::Tensor block(const torch::Tensor& x) {
    return recomputed(x.device(), [this, x] {
      ++count;
      return (x * weight).exp();
    });
  }
};

TEST(RecomputedBlock, RunsOnceMoreInEachBackwardPass) {
  Runs runs;
  const Recomputing on(true);
  const torch::Tensor y = runs.block(torch::ones({4})).sum();
  EXPECT_EQ(runs.count, 1);
  y.backward({}, true);
  EXPECT_EQ(runs.count, 2);
  y.backward();
  EXPECT_EQ(runs.count, 3);
  EXPECT_TRUE(runs.weight.grad().allclose(torch::full({4}, 2 * std::exp(1.0))));
}

TEST(RecomputedBlock, IsAPlainCallWhereNothingIsToBeSaved) {
  Runs runs;
  {
    const Recomputing off(false);
    runs.block(torch::ones({4})).sum().backward();
    EXPECT_EQ(runs.count, 1);
  }
  const Recomputing on(true);
  {
    const torch::NoGradGuard no_grad;
    EXPECT_FALSE(runs.block(torch::ones({4})).requires_grad());
    EXPECT_EQ(runs.count, 2);
  }
  runs.weight.set_requires_grad(false);
  EXPECT_FALSE(runs.block(torch::ones({4})).requires_grad());
  EXPECT_EQ(runs.count, 3);
  // Frozen below, wanted above: the block's own operations save for the input's gradient.
  const torch::Tensor x = torch::ones({4}).set_requires_grad(true);
  runs.block(x).sum().backward();
  EXPECT_EQ(runs.count, 5);
  EXPECT_TRUE(x.grad().allclose(torch::full({4}, std::exp(1.0))));
}

TEST(RecomputedBlock, DrawsTheSameNumbersAndPutsTheGeneratorBack) {
  torch::Tensor weight = torch::ones({1000}).set_requires_grad(true);
  at::manual_seed(9);
  const Recomputing on(true);
  const torch::Tensor y =
      recomputed(torch::kCPU, [weight] { return at::dropout(weight.exp(), 0.5, true).square(); });
  const torch::Tensor kept = y.detach().ne(0).to(torch::kFloat);
  const torch::Tensor before = torch::rand({3});  // draws between the passes
  y.sum().backward();
  const torch::Tensor after = torch::rand({3});
  EXPECT_TRUE(weight.grad().allclose(kept * 8 * std::exp(2.0)));
  EXPECT_GT(kept.sum().item<double>(), 300);
  EXPECT_LT(kept.sum().item<double>(), 700);
  at::manual_seed(9);
  at::dropout(torch::ones({1000}), 0.5, true);
  EXPECT_TRUE(torch::rand({3}).equal(before));
  EXPECT_TRUE(torch::rand({3}).equal(after));
}

TEST(RecomputedBlock, ThatSavesSomethingElseTheSecondTimeIsRefused) {
  int run = 0;
  torch::Tensor weight = torch::ones({4}).set_requires_grad(true);
  const Recomputing on(true);
  const torch::Tensor y =
      recomputed(torch::kCPU, [&run, weight] { return ++run == 1 ? weight.exp() : weight.exp().exp(); });
  EXPECT_THROW(y.sum().backward(), InternalError);
}

// Eight layers: without the option all of them are kept, with it one at a time and the inputs of all.
std::int64_t peak_of(const json& config, bool recompute) {
  const auto model = models::build(config);
  model->initialize(Rng(1, "init"));
  model->train();
  const models::Tensors inputs = test::tiny_inputs(config, 16);
  for (auto& p : model->parameters()) p.mutable_grad() = torch::zeros_like(p);
  const test::LiveBytes bytes;
  {
    const Recomputing recomputing(recompute);
    const torch::Tensor loss = model->forward(inputs).at("logits").square().sum();
    loss.backward();
  }
  EXPECT_EQ(bytes.now(), 0);  // nothing is left behind
  return bytes.peak();
}

TEST(RecomputedBlocks, NeedLessMemory) {
  json text = test::tiny_texts()[0],
       image{{"model_type", "vit"},       {"num_channels", 1},        {"num_labels", 3},
             {"image_size", 16},          {"patch_size", 4},          {"hidden_size", 32},
             {"num_hidden_layers", 8},    {"num_attention_heads", 2}, {"intermediate_size", 128},
             {"hidden_dropout_prob", 0.1}};
  text.update({{"hidden_size", 48}, {"num_hidden_layers", 8}, {"intermediate_size", 192}});
  for (const json& config : {text, image}) {
    const auto plain = peak_of(config, false), again = peak_of(config, true);
    EXPECT_LT(static_cast<double>(again), 0.35 * static_cast<double>(plain)) << config.at("model_type");
    RecordProperty(config.at("model_type").get<std::string>() + "_plain", std::to_string(plain));
    RecordProperty(config.at("model_type").get<std::string>() + "_again", std::to_string(again));
  }
}

}  // namespace
}  // namespace expunge
