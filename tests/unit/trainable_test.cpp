// The trainable set of a model: ranks and shares by hand and as published, refusals.
#include "models/trainable.hpp"

#include <gtest/gtest.h>

#include <tuple>

#include "core/error.hpp"

namespace expunge::models {
namespace {

Trainable of(const std::string& text, const std::string& model, const InputShape& input) {
  const auto* d = find_descriptor(model);
  return resolve_trainable(text, *d, d->config(model, input));
}

const InputShape kImageNet{3, 224, 224, 1000}, kSmall{3, 32, 32, 10};

TEST(Trainable, AllIsEverything) {
  const auto t = of("all", "resnet8", kSmall);
  EXPECT_EQ(t.share, 1);
  EXPECT_TRUE(t.trains("conv1.weight"));
  EXPECT_EQ(t.parameters,
            find_descriptor("resnet8")->parameters(find_descriptor("resnet8")->config("resnet8", kSmall)));
}

// MU-Bench's table for ViT-Base: ranks 256, 512, 2560 are 9.9, 18.0, 52.3 % of base and adapters together
// (with a head of few classes).
TEST(Trainable, LoraRanksOfThePublishedTable) {
  const InputShape few{3, 224, 224, 10};
  for (const auto& [rank, percent] : {std::pair{256, 9.9}, {512, 18.0}, {2560, 52.3}}) {
    const auto t = of("lora:r=" + std::to_string(rank), "vit_base", few);
    EXPECT_NEAR(100 * t.share, percent, 0.1);
    EXPECT_EQ(t.projections.size(), 24u);
    EXPECT_EQ(t.parameters, rank * 24 * (768 + 768) + 769 * 10);
  }
}

// MU-Bench's for BERT and BioBERT: 11, 20, 51 %; a rank above the width of the matrices is not cut.
TEST(Trainable, LoraRanksOfThePublishedTextModels) {
  const InputShape text{0, 1, 128, 2, 128, 0};
  for (const auto& [rank, percent] : {std::pair{384, 11.5}, {768, 20.5}, {3072, 50.8}})
    EXPECT_NEAR(100 * of("lora:r=" + std::to_string(rank), "bert-base-uncased", text).share, percent, 0.2);
}

// Where adapters lie and what is trained beside them, in each family.
TEST(Trainable, LoraTargetsOfTheFamilies) {
  const InputShape text{0, 1, 128, 2, 128, 0}, image{3, 224, 224, 10};
  const std::vector<std::tuple<std::string, InputShape, std::size_t, std::string, std::string, std::string>>
      table{
          {"bert-tiny", text, 4, "bert.encoder.layer.1.attention.self.value", "classifier.weight",
           "bert.pooler.dense.weight"},
          {"electra-small", text, 24, "electra.encoder.layer.11.attention.self.value",
           "classifier.dense.weight", "electra.embeddings_project.weight"},
          {"roberta-base", text, 24, "roberta.encoder.layer.11.attention.self.value",
           "classifier.out_proj.bias", "roberta.embeddings.LayerNorm.weight"},
          {"distilbert-base-uncased", text, 12, "distilbert.transformer.layer.5.attention.v_lin",
           "pre_classifier.weight", "distilbert.transformer.layer.0.ffn.lin1.weight"},
          {"albert-base-v2", text, 2, "albert.encoder.albert_layer_groups.0.albert_layers.0.attention.value",
           "classifier.bias", "albert.pooler.weight"},
          {"deberta-v3-base", text, 24, "deberta.encoder.layer.11.attention.self.value_proj",
           "pooler.dense.weight", "deberta.encoder.rel_embeddings.weight"},
          {"swin_tiny", image, 24, "swin.encoder.layers.3.blocks.1.attention.self.value", "classifier.weight",
           "swin.layernorm.weight"}};
  for (const auto& [model, input, count, last, trained, kept] : table) {
    const auto t = of("lora:r=2", model, input);
    ASSERT_EQ(t.projections.size(), count) << model;
    EXPECT_EQ(t.projections.back().name, last);
    EXPECT_TRUE(t.trains(trained)) << trained;
    EXPECT_FALSE(t.trains(kept)) << kept;
  }
  for (const char* model : {"mobilenet_v2", "convnext_tiny"})
    EXPECT_THROW(of("lora:r=2", model, image), ConfigError) << model;
}

TEST(Trainable, LoraSharesAreMetWithinOnePercent) {
  for (const auto* model : {"vit_base", "vit_tiny_patch4"})
    for (double percent : {10.0, 20.0, 50.0}) {
      const auto t = of("lora:" + std::to_string(static_cast<int>(percent)) + "%", model,
                        std::string(model) == "vit_base" ? kImageNet : kSmall);
      EXPECT_NEAR(100 * t.share, percent, 0.01 * percent) << model;
      EXPECT_GE(t.rank, 1);
    }
}

TEST(Trainable, LoraTrainsAdaptersAndTheHead) {
  const auto t = of("lora:r=8", "vit_tiny_patch4", kSmall);
  EXPECT_TRUE(t.trains("vit.encoder.layer.3.attention.attention.query.lora_A"));
  EXPECT_TRUE(t.trains("classifier.weight"));
  EXPECT_FALSE(t.trains("vit.encoder.layer.3.attention.attention.query.weight"));
  EXPECT_FALSE(t.trains("vit.layernorm.bias"));
}

TEST(Trainable, RefusesWhatTheModelLacksAndOddTexts) {
  EXPECT_THROW(of("lora:10%", "resnet8", kSmall), ConfigError);
  EXPECT_THROW(of("fusion", "vit_tiny_patch4", kSmall), ConfigError);
  for (const char* text : {"", "lora", "lora:", "lora:0%", "lora:100%", "lora:10", "lora:r=0", "lora:r=1.5",
                           "lora:x%", "lora:10%%", "some"})
    EXPECT_THROW(of(text, "vit_tiny_patch4", kSmall), ConfigError) << text;
}

}  // namespace
}  // namespace expunge::models
