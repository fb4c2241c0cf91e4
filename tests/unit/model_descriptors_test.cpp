// Model descriptors: parameter counts and FLOPs against published figures, config.json, bad input.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.hpp"
#include "models/config_json.hpp"
#include "models/descriptor.hpp"

namespace expunge::models {
namespace {

struct Published {
  std::string model;
  InputShape input;
  std::int64_t parameters;
  double giga_flops, tolerance;  // forward, of one sample
};

class PublishedFigures : public testing::TestWithParam<Published> {};

TEST_P(PublishedFigures, Agree) {
  const auto& p = GetParam();
  const auto* d = find_descriptor(p.model);
  ASSERT_NE(d, nullptr);
  const auto config = d->config(p.model, p.input);
  EXPECT_EQ(d->parameters(config), p.parameters);
  const auto cost = d->cost(config, p.input.height, p.input.width);
  EXPECT_NEAR(cost.forward / 1e9, p.giga_flops, p.tolerance);
  if (!d->takes_text)
    EXPECT_LT(cost.backward, 2 * cost.forward);  // no gradient of the image
  else
    EXPECT_EQ(cost.backward, 2 * cost.forward);
  EXPECT_GT(cost.backward, 1.8 * cost.forward);
}

const InputShape kLarge{3, 224, 224, 100}, kSmall{3, 32, 32, 10}, kSentence{0, 1, 128, 2, 128, 0},
    kDdi{0, 1, 128, 5, 128, 0};

// 224x224: parameters and FLOPs counted on the reference implementation with a head of 100 classes. CIFAR
// form: the parameters of the published checkpoints; multiply-adds by hand, 442,368 + 640 + 2,359,296 n - 2 *
// 1,179,648 for n 3x3 convolutions after the first.
INSTANTIATE_TEST_SUITE_P(
    Table, PublishedFigures,
    testing::Values(Published{"resnet18", kLarge, 11'227'812, 3.63, 0.005},
                    Published{"resnet34", kLarge, 21'335'972, 7.33, 0.005},
                    Published{"resnet50", kLarge, 23'712'932, 8.17, 0.005},
                    Published{"vit_small", kLarge, 21'704'164, 9.20, 0.005},
                    Published{"vit_base", kLarge, 85'875'556, 35.13, 0.005},
                    Published{"vit_large", kLarge, 303'404'132, 123.11, 0.005},
                    Published{"mobilenet_v2", kLarge, 2'351'972, 0.599, 0.0005},
                    Published{"convnext_base", kLarge, 87'668'964, 30.71, 0.005},
                    Published{"swin_tiny", kLarge, 27'596'254, 8.98, 0.005},
                    Published{"swin_small", kLarge, 48'914'158, 17.48, 0.005},
                    Published{"swin_base", kLarge, 86'845'724, 30.86, 0.005},
                    Published{"bert-base-uncased", kSentence, 109'483'778, 22.35, 0.005},
                    Published{"bert-large-uncased", kSentence, 335'143'938, 78.92, 0.005},
                    Published{"biobert", kDdi, 108'314'117, 22.35, 0.005},
                    Published{"pubmedbert", kDdi, 109'486'085, 22.35, 0.005},
                    Published{"distilbert-base-uncased", kSentence, 66'955'010, 11.17, 0.01},
                    Published{"electra-base", kSentence, 109'483'778, 22.35, 0.005},
                    Published{"roberta-base", kSentence, 124'647'170, 22.35, 0.005},
                    Published{"roberta-large", kSentence, 355'361'794, 78.92, 0.005},
                    Published{"albert-base-v2", kSentence, 11'685'122, 22.37, 0.005},
                    Published{"deberta-v3-base", kSentence, 184'423'682, 39.26, 0.005},
                    Published{"resnet20", kSmall, 269'722, 0.08110, 2e-5},
                    Published{"resnet32", kSmall, 464'154, 0.13773, 2e-5},
                    Published{"resnet44", kSmall, 658'586, 0.19435, 2e-5},
                    Published{"resnet56", kSmall, 853'018, 0.25097, 2e-5}),
    [](const auto& info) {
      std::string name = info.param.model;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

// Sizes without published FLOPs: the parameters of the published checkpoints, with their own heads.
TEST(PublishedCounts, Agree) {
  const InputShape image{3, 224, 224, 1000};
  const InputShape text{0, 1, 128, 2, 128, 0};
  const std::vector<std::tuple<std::string, InputShape, std::int64_t>> table{
      {"mobilenet_v2", image, 3'504'872},     {"convnext_tiny", image, 28'589'128},
      {"convnext_small", image, 50'223'688},  {"convnext_base", image, 88'591'464},
      {"convnext_large", image, 197'767'336}, {"swin_tiny", image, 28'288'354},
      {"swin_small", image, 49'606'258},      {"swin_base", image, 87'768'224},
      {"swin_large", image, 196'532'476},     {"bert-tiny", text, 4'385'920 + 258},
      {"bert-mini", text, 11'170'560 + 514},  {"bert-small", text, 28'763'648 + 1026}};
  for (const auto& [name, input, count] : table) {
    const auto* d = find_descriptor(name);
    ASSERT_NE(d, nullptr) << name;
    EXPECT_EQ(d->parameters(d->config(name, input)), count) << name;
  }
}

TEST(CifarForm, CountsByHand) {
  const auto& d = *find_descriptor("resnet8");
  // 3x3 convolutions 1-16, 16-16 twice, 16-32, 32-32, 32-64, 64-64; two norm values a channel; 64-10 head.
  const std::int64_t weights = 9 * (16 + 2 * 256 + 512 + 1024 + 2048 + 4096),
                     norms = 2 * (3 * 16 + 2 * 32 + 2 * 64);
  const auto config = d.config("resnet8", {1, 28, 28, 10});
  EXPECT_EQ(d.parameters(config), weights + norms + 650);
  const double first = 2.0 * 9 * 16 * 784;
  const auto cost = d.cost(config, 28, 28);
  EXPECT_EQ(cost.forward, first + 2.0 * 9 * (512 * 784 + 1536 * 196 + 6144 * 49) + 2 * 640);
  EXPECT_EQ(cost.backward, 2 * cost.forward - first);
}

TEST(CifarForm, OddSizesRoundUp) {
  const auto& d = *find_descriptor("resnet8");
  const auto config = d.config("resnet8", {1, 5, 7, 2});  // 5x7, 3x4, 2x2
  EXPECT_EQ(d.cost(config, 5, 7).forward, 2.0 * 9 * ((16 + 512) * 35 + 1536 * 12 + 6144 * 4) + 2 * 128);
}

TEST(Descriptors, ConfigsAreInHuggingFacesLayout) {
  const auto resnet = find_descriptor("resnet50")->config("resnet50", kLarge);
  EXPECT_EQ(resnet.at("model_type"), "resnet");
  EXPECT_EQ(resnet.at("architectures"), nlohmann::json::array({"ResNetForImageClassification"}));
  EXPECT_EQ(resnet.at("hidden_sizes"), (nlohmann::json{256, 512, 1024, 2048}));
  EXPECT_EQ(resnet.at("depths"), (nlohmann::json{3, 4, 6, 3}));
  EXPECT_EQ(resnet.at("layer_type"), "bottleneck");
  EXPECT_EQ(resnet.at("id2label").size(), 100u);
  EXPECT_EQ(resnet.at("id2label").at("7"), "LABEL_7");
  EXPECT_EQ(resnet.at("label2id").at("LABEL_99"), 99);
  const auto vit = find_descriptor("vit_base")->config("vit_base", {1, 64, 96, 5});
  EXPECT_EQ(vit.at("image_size"), (nlohmann::json{64, 96}));
  EXPECT_EQ(vit.at("num_channels"), 1);
  EXPECT_EQ(vit.at("layer_norm_eps"), 1e-12);
  EXPECT_EQ(find_descriptor("vit_base")->config("vit_base", kLarge).at("image_size"), 224);
  const auto roberta = find_descriptor("roberta-base")->config("roberta-base", kSentence);
  EXPECT_EQ(roberta.at("architectures"), nlohmann::json::array({"RobertaForSequenceClassification"}));
  EXPECT_EQ(roberta.at("max_position_embeddings"), 514);
  EXPECT_EQ(roberta.at("pad_token_id"), 1);
  EXPECT_EQ(roberta.at("layer_norm_eps"), 1e-5);
  const auto distil =
      find_descriptor("distilbert-base-uncased")->config("distilbert-base-uncased", kSentence);
  EXPECT_EQ(distil.at("dim"), 768);
  EXPECT_EQ(distil.count("hidden_size"), 0u);
  EXPECT_EQ(find_descriptor("deberta-v3-base")->config("deberta-v3-base", kSentence).at("model_type"),
            "deberta-v2");
  // A data set's own vocabulary, and texts longer than the published model takes.
  const auto long_texts = find_descriptor("bert-tiny")->config("bert-tiny", {0, 1, 900, 4, 900, 77});
  EXPECT_EQ(long_texts.at("vocab_size"), 77);
  EXPECT_EQ(long_texts.at("max_position_embeddings"), 900);
  EXPECT_EQ(long_texts.at("id2label").size(), 4u);
}

// Hugging Face leaves out what equals the class's default.
TEST(Descriptors, AbsentFieldsMeanTheDefaults) {
  const auto* resnet = find_by_model_type("resnet");
  const auto* vit = find_by_model_type("vit");
  ASSERT_TRUE(resnet && vit);
  nlohmann::json labels;
  add_labels(labels, 100);
  EXPECT_EQ(resnet->parameters({{"id2label", labels.at("id2label")}}), 23'712'932);
  EXPECT_EQ(vit->parameters({{"num_labels", 100}}), 85'875'556);
  EXPECT_EQ(class_count(nlohmann::json::object()), 2);
  const auto parameters = [](const char* type) {
    return find_by_model_type(type)->parameters(nlohmann::json{{"num_labels", 2}});
  };
  EXPECT_EQ(parameters("bert"), 109'483'778);
  EXPECT_EQ(parameters("distilbert"), 66'955'010);
  EXPECT_EQ(parameters("swin"), 28'288'354 - 998 * 769);
  EXPECT_EQ(parameters("convnext"), 28'589'128 - 998 * 769);
  EXPECT_EQ(parameters("mobilenet_v2"), 3'504'872 - 998 * 1281);
}

TEST(Descriptors, RefuseMalformedConfigs) {
  const auto parameters = [](const char* type, const nlohmann::json& config) {
    return find_by_model_type(type)->parameters(config);
  };
  EXPECT_THROW(parameters("resnet", {{"depths", {1, 2}}}), DataError);
  EXPECT_THROW(parameters("resnet", {{"depths", "deep"}}), DataError);
  EXPECT_THROW(parameters("resnet", {{"depths", {1, 0, 1, 1}}}), DataError);
  EXPECT_THROW(parameters("resnet", {{"layer_type", "wide"}}), DataError);
  EXPECT_THROW(parameters("resnet", {{"embedding_size", -3}}), DataError);
  EXPECT_THROW(parameters("vit", {{"hidden_size", 770}}), DataError);
  EXPECT_THROW(parameters("vit", {{"hidden_size", 76.8}}), DataError);
  EXPECT_THROW(parameters("vit", {{"image_size", 8}}), DataError);
  EXPECT_THROW(parameters("vit", {{"image_size", {224, 224, 3}}}), DataError);
  EXPECT_THROW(parameters("expunge_resnet_cifar", {{"depth", 21}}), DataError);
  EXPECT_THROW(parameters("expunge_resnet_cifar", {{"depth", 2}}), DataError);
  EXPECT_THROW(find_descriptor("vit_base")->config("vit_base", {1, 8, 8, 10}), ConfigError);
  EXPECT_THROW(find_descriptor("convnext_tiny")->config("convnext_tiny", {1, 28, 28, 10}), ConfigError);
  EXPECT_THROW(find_descriptor("swin_tiny")->config("swin_tiny", {3, 32, 32, 10}), ConfigError);
  EXPECT_THROW(parameters("convnext", {{"depths", {1, 2}}}), DataError);
  EXPECT_THROW(parameters("swin", {{"num_heads", {5, 6, 12, 24}}}), DataError);
  EXPECT_THROW(parameters("swin", {{"use_absolute_embeddings", true}}), DataError);
  EXPECT_THROW(parameters("mobilenet_v2", {{"depth_multiplier", -1}}), DataError);
  EXPECT_THROW(parameters("mobilenet_v2", {{"output_stride", 4}}), DataError);
  for (const char* type : {"bert", "electra", "roberta", "albert"}) {
    EXPECT_THROW(parameters(type, {{"hidden_size", 771}}), DataError) << type;
    EXPECT_THROW(parameters(type, {{"pad_token_id", 999'999}}), DataError) << type;
    EXPECT_THROW(parameters(type, {{"position_embedding_type", "relative_key"}}), DataError) << type;
  }
  EXPECT_THROW(parameters("roberta", {{"max_position_embeddings", 2}}), DataError);
  EXPECT_THROW(parameters("distilbert", {{"n_heads", 7}}), DataError);
  EXPECT_THROW(parameters("distilbert", {{"sinusoidal_pos_embds", true}}), DataError);
  EXPECT_THROW(parameters("albert", {{"num_hidden_groups", 99}}), DataError);
  EXPECT_THROW(parameters("deberta-v2", {{"relative_attention", false}}), DataError);
  EXPECT_THROW(parameters("deberta-v2", {{"relative_attention", true}, {"share_att_key", false}}), DataError);
}

TEST(Descriptors, RegisterTheirNamesOnce) {
  auto names = model_names();
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
  for (const char* name : {"resnet8", "resnet20", "resnet56", "resnet18", "resnet34", "resnet50",
                           "vit_tiny_patch4", "vit_small", "vit_base", "vit_large"})
    EXPECT_TRUE(std::binary_search(names.begin(), names.end(), name)) << name;
  EXPECT_EQ(find_descriptor("resnet19"), nullptr);
  EXPECT_EQ(find_by_model_type("bert_of_nowhere"), nullptr);
  for (const auto* d : descriptors()) EXPECT_EQ(find_by_model_type(d->model_type), d);
}

}  // namespace
}  // namespace expunge::models
