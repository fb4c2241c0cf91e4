// What every family does: random parts that act in training only and are keyed by the generator, texts whose
// padding is inert, weights that are shared, padding rows, prices of adapters, windows and distances by hand.
#include <gtest/gtest.h>

#include "core/error.hpp"
#include "models/descriptor.hpp"
#include "models/torch/attention.hpp"
#include "models/torch/blocks.hpp"
#include "models/torch/windows.hpp"
#include "models/trainable.hpp"
#include "tensor/flat_parameters.hpp"
#include "tensor/flop_counter.hpp"
#include "tests/unit/torch/tiny_families.hpp"

namespace expunge {
namespace {

using models::Tensors;
using nlohmann::json;

std::shared_ptr<models::Model> fresh(const json& config, std::uint64_t seed = 1) {
  auto model = models::build(config);
  model->initialize(Rng(seed, "init"));
  // The initialiser's weights are so small that everything below would hold to rounding.
  const torch::NoGradGuard no_grad;
  for (auto& p : model->named_parameters())
    if (p.value().dim() > 1) p.value().mul_(8);
  return model;
}

torch::Tensor logits(models::Model& model, const Tensors& inputs) {
  return model.forward(inputs).at("logits").detach();
}

double difference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

class Family : public testing::TestWithParam<json> {};

TEST_P(Family, RandomPartsActInTrainingAndFollowTheSeed) {
  const auto model = fresh(GetParam());
  const Tensors inputs = test::tiny_inputs(GetParam(), 5);
  model->eval();
  EXPECT_TRUE(logits(*model, inputs).equal(logits(*model, inputs)));
  if (!model->has_dropout()) return;
  model->train();
  const auto drawn = [&](std::uint64_t seed) {
    at::manual_seed(seed);
    return logits(*model, inputs);
  };
  const torch::Tensor one = drawn(1);
  EXPECT_TRUE(one.equal(drawn(1)));
  EXPECT_FALSE(one.equal(drawn(2)));
}

// Parameters and price of one sample as declared, against what is built and run.
TEST_P(Family, IsWhatItsDescriptorDeclares) {
  const auto* d = models::find_by_model_type(GetParam().at("model_type"));
  ASSERT_NE(d, nullptr);
  const auto model = fresh(GetParam());
  std::int64_t numbers = 0;
  for (const auto& p : model->parameters()) numbers += p.numel();
  EXPECT_EQ(numbers, d->parameters(GetParam()));
  EXPECT_EQ(d->has_batch_norm, !model->batch_norms().empty());
  const Tensors inputs = test::tiny_inputs(GetParam(), 1);
  const bool text = test::reads_text(GetParam());
  const auto cost = d->cost(GetParam(), text ? 1 : 16, text ? 10 : 16);
  model->train();
  const tensor::FlopCounter counter;
  const torch::Tensor loss = model->forward(inputs).at("logits").sum();
  EXPECT_EQ(counter.flops(), static_cast<std::int64_t>(cost.forward));
  const auto before = counter.flops();
  loss.backward();
  EXPECT_EQ(counter.flops() - before, static_cast<std::int64_t>(cost.backward));
}

TEST_P(Family, AdaptersCostWhatIsCounted) {
  const auto* d = models::find_by_model_type(GetParam().at("model_type"));
  if (!d->projections) GTEST_SKIP() << "has no query and value projections";
  const bool text = test::reads_text(GetParam());
  const auto trainable = models::resolve_trainable("lora:r=4", *d, GetParam());
  const auto cost = models::cost_of(*d, GetParam(), text ? 1 : 16, text ? 10 : 16, trainable);
  const auto model = fresh(GetParam()), plain = fresh(GetParam());
  models::add_adapters(*model, trainable.projections, 4, 0, 0.1, Rng(6, "lora"));
  const tensor::FlatParameters flat(
      *model, torch::kCPU, [&](const std::string& name) { return trainable.trains(name); }, "all");
  EXPECT_EQ(flat.trainable.numel(), trainable.parameters);
  const Tensors inputs = test::tiny_inputs(GetParam(), 1);
  model->eval(), plain->eval();
  EXPECT_TRUE(logits(*model, inputs).equal(logits(*plain, inputs)));
  model->train();
  const tensor::FlopCounter counter;
  const torch::Tensor loss = model->forward(inputs).at("logits").sum();
  EXPECT_EQ(counter.flops(), static_cast<std::int64_t>(cost.forward));
  const auto before = counter.flops();
  loss.backward();
  EXPECT_EQ(counter.flops() - before, static_cast<std::int64_t>(cost.backward));
}

// The head is the linear layer named by the model, on the output "pooled".
TEST_P(Family, ClassifiesItsPooledFeatures) {
  const auto model = fresh(GetParam());
  model->eval();
  const auto out = model->forward(test::tiny_inputs(GetParam(), 5));
  const auto p = model->named_parameters();
  const std::string head = model->head_prefix();
  EXPECT_LE(
      difference(at::linear(out.at("pooled"), p[head + ".weight"], p[head + ".bias"]), out.at("logits")),
      1e-6);
  EXPECT_EQ(out.at("features").dim(), 3);
  EXPECT_EQ(out.at("features").size(0), 5);
}

// Untrained adapters change nothing; trained ones act at every site.
TEST_P(Family, TakesAdaptersAfterItsBlocks) {
  const auto model = fresh(GetParam());
  model->eval();
  const Tensors inputs = test::tiny_inputs(GetParam(), 5);
  const torch::Tensor before = logits(*model, inputs);
  model->insert_adapters("adapters", 2, Rng(9, "adapters"));
  EXPECT_TRUE(logits(*model, inputs).equal(before));
  const torch::NoGradGuard no_grad;
  std::size_t sites = 0;
  for (auto& p : model->named_parameters())
    if (p.key().rfind("adapters.", 0) == 0 && p.key().ends_with("up.bias")) {
      bool acts = false;  // one value may leave all of a small network's units off
      for (const double value : {0.5, -0.5, 4.0, -4.0}) {
        p.value().fill_(value);
        acts = acts || !logits(*model, inputs).equal(before);
      }
      EXPECT_TRUE(acts) << p.key();
      p.value().zero_();
      ++sites;
    }
  EXPECT_EQ(sites, model->adapter_sites().size());
  EXPECT_GT(sites, 0u);
}

INSTANTIATE_TEST_SUITE_P(Tiny, Family, testing::ValuesIn(test::tiny_families()),
                         [](const auto& info) { return test::family_name(info.param); });

class TextFamily : public testing::TestWithParam<json> {};

TEST_P(TextFamily, PaddingIsInert) {
  const auto model = fresh(GetParam());
  model->eval();
  Tensors inputs = test::tiny_inputs(GetParam(), 6);
  const torch::Tensor with = logits(*model, inputs);
  inputs["input_ids"] = at::where(inputs.at("attention_mask") == 1, inputs.at("input_ids"),
                                  models::field(GetParam(), "pad_token_id", std::int64_t{0}));
  for (std::int64_t i = 0; i < 6; ++i) {  // each text alone, cut to its length
    const std::int64_t length = inputs.at("attention_mask")[i].sum().item<std::int64_t>();
    Tensors one;
    for (const auto& [name, value] : inputs) one[name] = value.slice(0, i, i + 1).slice(1, 0, length);
    EXPECT_LE(difference(logits(*model, one)[0], with[i]), 1e-5) << i;
    one.erase("attention_mask");  // no mask: all of them are tokens
    EXPECT_LE(difference(logits(*model, one)[0], with[i]), 1e-5) << i;
  }
}

TEST_P(TextFamily, OtherWordsOrdersAndTypesMatter) {
  const auto model = fresh(GetParam());
  model->eval();
  Tensors inputs = test::tiny_inputs(GetParam(), 1);
  inputs["input_ids"] = torch::tensor({{2, 5, 7, 11}}, torch::kLong);
  inputs["attention_mask"] = torch::ones({1, 4}, torch::kLong);
  inputs["token_type_ids"] = torch::zeros({1, 4}, torch::kLong);
  const torch::Tensor first = logits(*model, inputs);
  inputs["input_ids"] = torch::tensor({{2, 7, 5, 11}}, torch::kLong);
  EXPECT_GT(difference(logits(*model, inputs), first), 1e-4);
  inputs["input_ids"] = torch::tensor({{2, 5, 7, 12}}, torch::kLong);
  EXPECT_GT(difference(logits(*model, inputs), first), 1e-4);
  if (GetParam().value("type_vocab_size", 2) < 2 || GetParam().at("model_type") == "distilbert" ||
      GetParam().at("model_type") == "deberta-v2")
    return;
  inputs["input_ids"] = torch::tensor({{2, 5, 7, 11}}, torch::kLong);
  inputs["token_type_ids"] = torch::tensor({{0, 0, 1, 1}}, torch::kLong);
  EXPECT_GT(difference(logits(*model, inputs), first), 1e-4);
}

TEST_P(TextFamily, PaddingsEmbeddingStartsAtZeroAndGetsNoGradient) {
  const auto model = fresh(GetParam());
  const auto padding = models::field(GetParam(), "pad_token_id", std::int64_t{0});
  Tensors inputs = test::tiny_inputs(GetParam(), 3);
  inputs.erase("attention_mask");
  model->forward(inputs).at("logits").square().sum().backward();
  std::size_t seen = 0;
  for (const auto& p : model->named_parameters())
    if (p.key().find("word_embeddings") != std::string::npos) {
      EXPECT_EQ(p.value()[padding].abs().sum().item<double>(), 0);
      EXPECT_EQ(p.value().grad()[padding].abs().sum().item<double>(), 0);
      EXPECT_GT(p.value().grad().abs().sum().item<double>(), 0);
      ++seen;
    }
  EXPECT_EQ(seen, 1u);
}

TEST_P(TextFamily, RefusesATextLongerThanItsPositions) {
  const auto model = fresh(GetParam());
  Tensors inputs{{"input_ids", torch::full({1, 17}, 5, torch::kLong)}};
  if (GetParam().at("model_type") == "deberta-v2")
    EXPECT_NO_THROW(model->forward(inputs));  // its positions are relative
  else
    EXPECT_THROW(model->forward(inputs), InternalError);
}

INSTANTIATE_TEST_SUITE_P(Tiny, TextFamily, testing::ValuesIn(test::tiny_texts()),
                         [](const auto& info) { return test::family_name(info.param); });

// Positions count real tokens from the padding's id on, wherever the padding lies.
TEST(Roberta, CountsPositionsFromThePaddingOn) {
  const auto model = fresh(test::tiny_texts()[2]);
  model->eval();
  const torch::Tensor right = torch::tensor({{5, 6, 7, 1, 1}}, torch::kLong),
                      left = torch::tensor({{5, 6, 1, 1, 7}}, torch::kLong);
  EXPECT_LE(difference(logits(*model, {{"input_ids", right}, {"attention_mask", right.ne(1)}}),
                       logits(*model, {{"input_ids", left}, {"attention_mask", left.ne(1)}})),
            1e-6);
}

// One layer's weights serve every step: with three steps the gradient is the sum of three unshared layers'.
TEST(Albert, SharedGradientsAreTheSumOverUses) {
  json config = test::tiny_texts()[4];
  config.update(
      {{"hidden_dropout_prob", 0}, {"attention_probs_dropout_prob", 0}, {"classifier_dropout_prob", 0}});
  json apart = config;
  apart["num_hidden_groups"] = 3;
  const auto shared = fresh(config), separate = fresh(apart);
  {
    const torch::NoGradGuard no_grad;
    auto from = shared->named_parameters();
    for (auto& p : separate->named_parameters()) {
      std::string name = p.key();
      for (const char* group : {"groups.1.", "groups.2."})
        if (const auto at = name.find(group); at != std::string::npos) name.replace(at, 9, "groups.0.");
      p.value().copy_(from[name]);
    }
  }
  const Tensors inputs = test::tiny_inputs(config, 4);
  EXPECT_TRUE(logits(*shared, inputs).equal(logits(*separate, inputs)));
  for (const auto& model : {shared, separate}) model->forward(inputs).at("logits").square().sum().backward();
  const auto theirs = separate->named_parameters();
  for (const auto& p : shared->named_parameters()) {
    const auto at = p.key().find("groups.0.");
    torch::Tensor sum = theirs[p.key()].grad().clone();
    if (at != std::string::npos)
      for (const char* group : {"groups.1.", "groups.2."}) {
        std::string name = p.key();
        sum += theirs[name.replace(at, 9, group)].grad();
      }
    EXPECT_LE(difference(p.value().grad(), sum), 1e-5 * (1 + sum.abs().max().item<double>())) << p.key();
  }
}

TEST(Swin, RelativePositionsOfTheReference) {
  const torch::Tensor index = models::relative_positions(7);
  ASSERT_EQ(index.sizes(), (std::vector<std::int64_t>{49, 49}));
  EXPECT_EQ(index[0][0].item<std::int64_t>(), 84);
  EXPECT_EQ(index[0][6].item<std::int64_t>(), 78);
  EXPECT_EQ(index[0][7].item<std::int64_t>(), 71);
  EXPECT_EQ(index[48][0].item<std::int64_t>(), 168);
  EXPECT_EQ(index[0][48].item<std::int64_t>(), 0);
}

TEST(Swin, WindowsGoThereAndBack) {
  const torch::Tensor x = torch::arange(2 * 6 * 9 * 2, torch::kFloat).view({2, 6, 9, 2});
  const torch::Tensor windows = models::into_windows(x, 3);
  ASSERT_EQ(windows.sizes(), (std::vector<std::int64_t>{12, 9, 2}));
  EXPECT_TRUE(windows[4][5].equal(x[0][4][5]));  // second row of windows, second column; row 1, column 2
  EXPECT_TRUE(models::from_windows(windows, 2, 6, 9, 3).equal(x));
}

TEST(Swin, ShiftMaskKeepsRegionsApart) {
  const torch::Tensor mask = models::shift_mask(8, 4, 4);  // two windows, one above the other, shift 2
  ASSERT_EQ(mask.sizes(), (std::vector<std::int64_t>{2, 1, 16, 16}));
  for (std::int64_t w = 0; w < 2; ++w)
    for (std::int64_t i = 0; i < 16; ++i)
      for (std::int64_t j = 0; j < 16; ++j) {
        const auto region = [&](std::int64_t k) {  // the last window's rows and all columns are cut at 2
          return (w == 1 && k / 4 >= 2 ? 2 : 0) + (k % 4 >= 2 ? 1 : 0);
        };
        EXPECT_EQ(mask[w][0][i][j].item<float>(), region(i) == region(j) ? 0 : -100) << w << i << j;
      }
}

TEST(Swin, RefusesImagesThatAreSmallerThanAWindow) {
  const auto* d = models::find_descriptor("swin_tiny");
  EXPECT_THROW(d->config("swin_tiny", {3, 32, 32, 10}), ConfigError);
  EXPECT_NO_THROW(d->config("swin_tiny", {3, 224, 224, 10}));
  json config = test::tiny_images()[5];
  EXPECT_THROW(fresh(config)->forward({{"pixel_values", torch::zeros({1, 1, 8, 8})}}), ConfigError);
}

// The reference's values for 256 buckets and 512 positions.
TEST(Deberta, BucketsOfTheReference) {
  const torch::Tensor d = models::bucketed_distances(512, 256, 512);
  for (const auto& [distance, bucket] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {0, 0}, {127, 127}, {128, 128}, {129, 129}, {200, 169}, {256, 192}, {511, 255}}) {
    EXPECT_EQ(d[distance][0].item<std::int64_t>(), bucket) << distance;
    EXPECT_EQ(d[0][distance].item<std::int64_t>(), -bucket) << distance;
  }
  EXPECT_EQ(models::bucketed_distances(600, 0, 512)[599][0].item<std::int64_t>(), 599);
}

// Whole samples, scaled so that the mean stays.
TEST(DropPath, DropsWholeSamples) {
  at::manual_seed(3);
  const torch::Tensor x = torch::ones({400, 2, 3}), y = models::drop_path(x, 0.25, true);
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < 400; ++i) {
    const double value = y[i][0][0].item<double>();
    EXPECT_TRUE(value == 0 || std::abs(value - 1 / 0.75) < 1e-6) << value;
    EXPECT_TRUE(y[i].equal(torch::full({2, 3}, value)));
    kept += value > 0;
  }
  EXPECT_NEAR(kept, 300, 45);  // five standard deviations
  EXPECT_TRUE(models::drop_path(x, 0.25, false).is_same(x));
  EXPECT_TRUE(models::drop_path(x, 0, true).is_same(x));
}

// The odd column of padding lies to the right, as TensorFlow has it: 3x3 with stride 2 on 4x4 reads rows 0-2
// and 2-4, on 5x5 rows -1-1, 1-3, 3-5.
TEST(MobileNetV2, PadsAsTensorFlow) {
  const auto model = models::build(test::tiny_images()[3]);
  model->initialize(Rng(1, "init"));
  model->eval();
  const torch::NoGradGuard no_grad;
  auto p = model->named_parameters();
  torch::Tensor first = p["mobilenet_v2.conv_stem.first_conv.convolution.weight"];
  first.zero_();
  first.select(2, 2).select(2, 2).fill_(1);  // the kernel's last place
  for (const std::int64_t side : {4, 5}) {
    torch::Tensor image = torch::zeros({1, 1, side, side});
    image[0][0][2][2] = 1;  // under that place only for an even side
    const torch::Tensor with = logits(*model, {{"pixel_values", image}}),
                        without = logits(*model, {{"pixel_values", torch::zeros({1, 1, side, side})}});
    EXPECT_EQ(with.equal(without), side == 5) << side;
  }
}

}  // namespace
}  // namespace expunge
