// Models: the Hugging Face layout on disk, damaged input, initialisers, the CIFAR form's shortcuts.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "core/error.hpp"
#include "core/files.hpp"
#include "models/config_json.hpp"
#include "models/descriptor.hpp"
#include "models/torch/model.hpp"
#include "tensor/safetensors.hpp"
#include "tests/unit/torch/folder.hpp"
#include "tests/unit/torch/tiny_families.hpp"

namespace expunge {
namespace {

using State = std::map<std::string, torch::Tensor>;

State state_of(const models::Model& model) {
  State out;
  for (const auto& p : model.named_parameters()) out[p.key()] = p.value().detach();
  for (const auto& b : model.named_buffers()) out[b.key()] = b.value();
  return out;
}

nlohmann::json tiny_vit() {
  nlohmann::json c{{"model_type", "vit"},     {"image_size", 8},        {"patch_size", 4},
                   {"hidden_size", 12},       {"num_hidden_layers", 1}, {"num_attention_heads", 2},
                   {"intermediate_size", 16}, {"num_labels", 3}};
  return c;
}

nlohmann::json tiny_resnet() {
  return {{"model_type", "resnet"}, {"embedding_size", 4},   {"hidden_sizes", {4, 8}},
          {"depths", {1, 1}},       {"layer_type", "basic"}, {"num_labels", 3}};
}

nlohmann::json resnet8(std::int64_t classes = 3, std::int64_t channels = 1) {
  return models::find_descriptor("resnet8")->config("resnet8", {channels, 8, 8, classes});
}

std::shared_ptr<models::Model> fresh(const nlohmann::json& config, std::uint64_t seed = 1) {
  auto model = models::build(config);
  model->initialize(Rng(seed, "init"));
  return model;
}

// The message of the DataError that loading throws, "" when it throws none.
std::string refusal(models::Model& model, const fs::path& folder, int code = kExitCorrupt) {
  try {
    models::load_weights(model, folder);
    return "";
  } catch (const DataError& error) {
    EXPECT_EQ(error.exit_code(), code) << error.what();
    return error.what();
  }
}

void expect_mentions(const std::string& text, const std::string& piece) {
  EXPECT_NE(text.find(piece), std::string::npos) << text;
}

class Layout : public testing::TestWithParam<nlohmann::json> {};

TEST_P(Layout, SurvivesARoundTrip) {
  const test::Folder folder;
  const auto saved = fresh(GetParam());
  for (models::BatchNorm* bn : saved->batch_norms())
    bn->running_var.fill_(0.25), bn->num_batches_tracked.fill_(9);
  models::save(*saved, folder.path / "model", {{"id", "abc"}});
  EXPECT_EQ(models::read_config(folder.path / "model"), GetParam());
  const auto file = tensor::read_safetensors(folder.path / "model" / "model.safetensors");
  EXPECT_EQ(file.metadata, (std::map<std::string, std::string>{{"format", "pt"}, {"id", "abc"}}));

  const auto loaded = models::build(models::read_config(folder.path / "model"));
  models::load_weights(*loaded, folder.path / "model");
  const State a = state_of(*saved), b = state_of(*loaded);
  ASSERT_EQ(a.size(), b.size());
  ASSERT_EQ(file.tensors.size(), a.size());
  for (const auto& [name, value] : a) EXPECT_TRUE(at::equal(value, b.at(name))) << name;

  const models::Tensors inputs = test::tiny_inputs(GetParam(), 2);
  saved->eval();
  loaded->eval();
  EXPECT_TRUE(at::equal(saved->forward(inputs).at("logits"), loaded->forward(inputs).at("logits")));
}

INSTANTIATE_TEST_SUITE_P(Images, Layout, testing::ValuesIn(test::tiny_images()),
                         [](const auto& info) { return test::family_name(info.param); });
INSTANTIATE_TEST_SUITE_P(Texts, Layout, testing::ValuesIn(test::tiny_texts()),
                         [](const auto& info) { return test::family_name(info.param); });

TEST(Names, AreThoseOfThePublishedFiles) {
  const State cifar = state_of(*models::build(resnet8()));
  for (const char* name : {"conv1.weight", "bn1.running_mean", "layer1.0.conv2.weight", "layer2.0.bn2.bias",
                           "layer3.0.bn1.num_batches_tracked", "linear.bias"})
    EXPECT_TRUE(cifar.count(name)) << name;
  nlohmann::json fifty = models::find_descriptor("resnet50")->config("resnet50", {3, 224, 224, 10});
  EXPECT_EQ(state_of(*models::build(fifty)).size(), 320u);  // as the published ResNet-50
}

// A saved model whose tensors a test edits.
class Loading : public testing::Test {
 protected:
  void write(const nlohmann::json& config, const State& tensors) {
    write_file_atomic(folder.path / "config.json", config.dump());
    tensor::write_safetensors(folder.path / "model.safetensors", tensors);
  }
  test::Folder folder;
};

TEST_F(Loading, RepairsNames) {
  const auto source = fresh(tiny_vit());
  const State state = state_of(*source);
  const auto renamed = [&](auto&& rename) {
    State out;
    for (const auto& [name, value] : state) out[rename(name)] = value;
    return out;
  };
  const auto bare = [](const std::string& name) {
    return name.rfind("vit.", 0) == 0 ? name.substr(4) : name;
  };
  const auto old = [](std::string name) {  // 2019: LayerNorm.gamma and beta
    if (name.find("layernorm") == std::string::npos) return name;
    const auto dot = name.rfind('.');
    return name.substr(0, dot) + (name.substr(dot) == ".weight" ? ".gamma" : ".beta");
  };
  for (const State& file :
       {renamed(bare), renamed(old), renamed([](const std::string& n) { return "module." + n; }),
        renamed([&](const std::string& n) { return bare(old(n)); })}) {
    ASSERT_FALSE(file.count("vit.layernorm.weight"));
    write(tiny_vit(), file);
    const auto model = fresh(tiny_vit(), 2);
    EXPECT_EQ(refusal(*model, folder.path), "");
    const State loaded = state_of(*model);
    for (const auto& [name, value] : state) EXPECT_TRUE(at::equal(loaded.at(name), value)) << name;
  }
}

TEST_F(Loading, IgnoresWhatTheArchitectureDoesNotUse) {
  State state = state_of(*fresh(tiny_vit()));
  state["vit.pooler.dense.weight"] = torch::zeros({12, 12});
  state["vit.embeddings.position_ids"] = torch::zeros({5}, torch::kLong);
  write(tiny_vit(), state);
  const auto model = fresh(tiny_vit(), 2);
  EXPECT_EQ(refusal(*model, folder.path), "");
}

// Heads of pre-training, poolers that a family does not use; and what newer files leave out.
TEST_F(Loading, TakesThePublishedFilesOfTheTextFamilies) {
  for (const auto& config : test::tiny_texts()) {
    const auto source = fresh(config);
    State file;
    for (const auto& [name, value] : state_of(*source)) {
      const std::string prefix = source->base_prefix() + ".";
      file[name.rfind(prefix, 0) == 0 ? name.substr(prefix.size()) : name] =
          value;  // a bare backbone's names
    }
    for (const char* name : {"cls.predictions.bias", "lm_head.bias", "embeddings.position_ids"})
      file[name] = torch::zeros({2});
    if (config.at("model_type") == "roberta") file["pooler.dense.bias"] = torch::zeros({12});
    write(config, file);
    const auto model = fresh(config, 2);
    EXPECT_EQ(refusal(*model, folder.path), "") << config.at("model_type");
    const State loaded = state_of(*model);
    for (const auto& [name, value] : state_of(*source))
      EXPECT_TRUE(at::equal(loaded.at(name), value)) << name;
  }
}

TEST_F(Loading, SwinsIndexMayBeAbsentAndIsNotTrusted) {
  const auto config = test::tiny_images().at(5);
  const auto source = fresh(config);
  State state = state_of(*source);
  const auto inputs = test::tiny_inputs(config, 2);
  source->eval();
  const torch::Tensor expected = source->forward(inputs).at("logits");
  std::size_t indices = 0;
  for (auto& [name, value] : state)
    if (name.ends_with("relative_position_index")) value = value + 1'000'000, ++indices;
  EXPECT_EQ(indices, 4u);
  for (const bool there : {true, false}) {
    if (!there)
      for (auto it = state.begin(); it != state.end();)
        it = it->first.ends_with("relative_position_index") ? state.erase(it) : std::next(it);
    write(config, state);
    const auto model = fresh(config, 2);
    EXPECT_EQ(refusal(*model, folder.path), "");
    model->eval();
    EXPECT_TRUE(model->forward(inputs).at("logits").equal(expected));
  }
}

TEST_F(Loading, ConvertsHalfPrecision) {
  State state = state_of(*fresh(tiny_vit()));
  for (auto& [name, value] : state) value = value.to(torch::kHalf);
  write(tiny_vit(), state);
  const auto model = fresh(tiny_vit(), 2);
  EXPECT_EQ(refusal(*model, folder.path), "");
  for (const auto& [name, value] : state_of(*model)) {
    EXPECT_EQ(value.scalar_type(), torch::kFloat);
    EXPECT_TRUE(at::equal(value, state.at(name).to(torch::kFloat))) << name;
  }
}

TEST_F(Loading, BatchCountsMayBeAbsent) {
  State state = state_of(*fresh(resnet8()));
  for (auto it = state.begin(); it != state.end();)
    it = it->first.find("num_batches_tracked") == std::string::npos ? std::next(it) : state.erase(it);
  write(resnet8(), state);
  EXPECT_EQ(refusal(*fresh(resnet8(), 2), folder.path), "");
}

TEST_F(Loading, NamesEveryTensorThatDoesNotFitAndLeavesTheModelAlone) {
  State state = state_of(*fresh(tiny_vit()));
  state.erase("vit.embeddings.cls_token");
  state.erase("vit.layernorm.bias");
  state["classifier.weight"] = torch::zeros({5, 12});
  state["classifier.bias"] = torch::zeros({3}, torch::kLong);
  state["vit.extra.weight"] = torch::zeros({2});
  write(tiny_vit(), state);
  const auto model = fresh(tiny_vit(), 2);
  State before;
  for (const auto& [name, value] : state_of(*model)) before[name] = value.clone();
  const auto message = refusal(*model, folder.path);
  expect_mentions(message, folder.path.string());
  expect_mentions(message, "5 tensors");
  expect_mentions(message, "missing vit.embeddings.cls_token");
  expect_mentions(message, "missing vit.layernorm.bias");
  expect_mentions(message, "classifier.weight has shape [5, 12], the model's is [3, 12]");
  expect_mentions(message, "classifier.bias holds integers, expected floats");
  expect_mentions(message, "unexpected vit.extra.weight");
  for (const auto& [name, value] : state_of(*model)) EXPECT_TRUE(at::equal(value, before.at(name))) << name;
}

TEST_F(Loading, RefusesAnotherArchitecture) {
  const auto vit = fresh(tiny_vit());
  write(tiny_resnet(), state_of(*fresh(tiny_resnet())));
  expect_mentions(refusal(*vit, folder.path), "model_type is \"resnet\", expected \"vit\"");
  // The same shapes, but not the same function.
  for (const auto& [key, value] : std::map<std::string, nlohmann::json>{
           {"num_attention_heads", 4}, {"hidden_act", "gelu_new"}, {"layer_norm_eps", 1e-6}}) {
    auto config = tiny_vit();
    config[key] = value;
    write(config, state_of(*vit));
    expect_mentions(refusal(*vit, folder.path), key + " is " + value.dump());
  }
}

TEST_F(Loading, RefusesAbsentAndMalformedFiles) {
  const auto vit = fresh(tiny_vit());
  expect_mentions(refusal(*vit, folder.path, kExitMissing), "config.json");
  write_file_atomic(folder.path / "config.json", tiny_vit().dump());
  expect_mentions(refusal(*vit, folder.path, kExitMissing), "model.safetensors");
  write_file_atomic(folder.path / "model.safetensors", "short");
  expect_mentions(refusal(*vit, folder.path), "not a sound safetensors file");
  for (const char* text : {"{\"model_type\": ", "[1, 2]", "{\"model_type\": 3}", ""}) {
    write_file_atomic(folder.path / "config.json", text);
    expect_mentions(refusal(*vit, folder.path), "config.json");
  }
}

TEST(Build, RefusesUnknownAndMalformedConfigs) {
  try {
    models::build({{"model_type", "resnt"}});
    FAIL();
  } catch (const ConfigError& error) {
    expect_mentions(error.what(), "did you mean \"resnet\"");
  }
  EXPECT_THROW(models::build(nlohmann::json::object()), ConfigError);
  for (const auto& [key, value] : std::map<std::string, nlohmann::json>{{"hidden_act", "gelo"},
                                                                        {"hidden_size", 13},
                                                                        {"layer_norm_eps", "tiny"},
                                                                        {"patch_size", 0},
                                                                        {"qkv_bias", 7}}) {
    auto config = tiny_vit();
    config[key] = value;
    EXPECT_THROW(models::build(config), DataError) << key;
  }
}

double mean_of(const torch::Tensor& t) { return t.to(torch::kDouble).mean().item<double>(); }
double deviation_of(const torch::Tensor& t) {
  return std::sqrt(t.to(torch::kDouble).square().mean().item<double>());
}

TEST(Initialise, DependsOnNameAndElementAlone) {
  const State a = state_of(*fresh(resnet8(3))), b = state_of(*fresh(resnet8(7))),
              c = state_of(*fresh(resnet8(3), 2));
  for (const auto& [name, value] : a) {
    if (name.rfind("linear", 0) == 0) {
      EXPECT_TRUE(at::equal(value, b.at(name).slice(0, 0, 3))) << name;
    } else {
      EXPECT_TRUE(at::equal(value, b.at(name))) << name;
    }
    if (value.dim() > 1) EXPECT_FALSE(at::equal(value, c.at(name))) << name;
  }
  // Element j of a tensor is draw j of the tensor's own stream.
  const Rng own = Rng(1, "init").sub("layer3.0.conv2.weight");
  const double deviation = std::sqrt(2.0 / (64 * 9));
  EXPECT_FLOAT_EQ(a.at("layer3.0.conv2.weight").view({-1})[77].item<float>(),
                  static_cast<float>(deviation * own.normal(77)));
}

TEST(Initialise, ConvolutionalNetworks) {
  auto model = models::build(resnet8());
  for (auto& p : model->parameters()) p.data().fill_(99);
  for (models::BatchNorm* bn : model->batch_norms()) bn->running_mean.fill_(99), bn->running_var.fill_(99);
  model->initialize(Rng(3, "init"));
  const State s = state_of(*model);
  const torch::Tensor conv = s.at("layer3.0.conv2.weight");  // 36,864 values: mean within 5 standard errors
  const double deviation = std::sqrt(2.0 / (64 * 9));
  EXPECT_NEAR(mean_of(conv), 0, 5 * deviation / std::sqrt(36864.0));
  EXPECT_NEAR(deviation_of(conv), deviation, 5 * deviation / std::sqrt(2 * 36864.0));
  const double bound = 1 / 8.0;  // 1 / sqrt(64)
  EXPECT_LE(s.at("linear.weight").abs().max().item<double>(), bound);
  EXPECT_GT(s.at("linear.weight").abs().max().item<double>(), 0.95 * bound);
  EXPECT_LE(s.at("linear.bias").abs().max().item<double>(), bound);
  EXPECT_GT(s.at("linear.bias").abs().max().item<double>(), 0);
  for (models::BatchNorm* bn : model->batch_norms()) {
    EXPECT_EQ(mean_of(bn->weight.detach()), 1);
    EXPECT_EQ(bn->bias.abs().sum().item<double>() + bn->running_mean.abs().sum().item<double>(), 0);
    EXPECT_EQ(mean_of(bn->running_var), 1);
  }
}

TEST(Initialise, Transformers) {
  auto config = tiny_vit();
  config["hidden_size"] = 96;
  auto model = models::build(config);
  for (auto& p : model->parameters()) p.data().fill_(99);
  model->initialize(Rng(3, "init"));
  for (const auto& [name, value] : state_of(*model)) {
    if (value.dim() < 2) {
      const bool norm_weight = name.find("layernorm") != std::string::npos && name.ends_with("weight");
      EXPECT_EQ(value.min().item<float>(), norm_weight ? 1.0f : 0.0f) << name;
      EXPECT_EQ(value.max().item<float>(), norm_weight ? 1.0f : 0.0f) << name;
    } else {
      const auto n = static_cast<double>(value.numel());
      EXPECT_NEAR(mean_of(value), 0, 5 * 0.02 / std::sqrt(n)) << name;
      EXPECT_NEAR(deviation_of(value), 0.02, 5 * 0.02 / std::sqrt(2 * n)) << name;
    }
  }
}

// With every block's convolutions at zero, a block is its shortcut: the 16 channels of the stem end at 24..39
// of 64, taken at every fourth row and column.
TEST(CifarForm, ShortcutsSubsampleAndPadChannelsOnBothSides) {
  const auto model = fresh(resnet8());
  model->eval();
  const torch::NoGradGuard no_grad;
  for (auto& p : model->named_parameters())
    if (p.key().rfind("layer", 0) == 0 && p.value().dim() == 4) p.value().zero_();
  State s = state_of(*model);
  s.at("conv1.weight").zero_();
  for (std::int64_t c = 0; c < 16; ++c) s.at("conv1.weight")[c][0][1][1] = static_cast<float>(c + 1);
  const torch::Tensor x = torch::arange(2 * 7 * 6, torch::kFloat).view({2, 1, 7, 6});
  const torch::Tensor pooled = model->forward({{"pixel_values", x}}).at("pooled");
  for (std::int64_t n = 0; n < 2; ++n)
    for (std::int64_t c = 0; c < 64; ++c) {
      double expected = 0;  // rows 0 and 4, columns 0 and 4
      if (c >= 24 && c < 40)
        for (const int row : {0, 4})
          for (const int column : {0, 4})
            expected += static_cast<double>(c - 23) * (static_cast<double>(n) * 42 + row * 6 + column) / 4 /
                        std::sqrt(1 + 1e-5);
      EXPECT_NEAR(pooled[n][c].item<double>(), expected, 1e-4 * (1 + expected)) << n << " " << c;
    }
}

TEST(ViT, DropoutActsInTrainingOnly) {
  auto config = tiny_vit();
  EXPECT_FALSE(fresh(config)->has_dropout());
  config["hidden_dropout_prob"] = 0.5;
  const auto model = fresh(config);
  EXPECT_TRUE(model->has_dropout());
  const torch::Tensor x = torch::arange(192, torch::kFloat).view({1, 3, 8, 8}) / 192;
  const auto logits = [&] { return model->forward({{"pixel_values", x}}).at("logits").detach(); };
  model->eval();
  EXPECT_TRUE(at::equal(logits(), logits()));
  model->train();
  EXPECT_FALSE(at::equal(logits(), logits()));
}

}  // namespace
}  // namespace expunge
