// jobs/all_methods.toml is complete: every registered method stands in exactly the blocks (data set and
// model) that `check` accepts it for, and in one at least. A new method that is missing there fails here.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/error.hpp"
#include "methods/method.hpp"
#include "sweep/sweep.hpp"

namespace expunge::sweep {
namespace {

const std::filesystem::path kJob = EXPUNGE_SOURCE_DIR "/jobs/all_methods.toml";

bool accepted(const std::string& dataset, const std::string& model, const std::string& method) {
  try {
    load(kJob, {"sweep.include=[]", "sweep.dataset=[\"" + dataset + "\"]", "sweep.model=[\"" + model + "\"]",
                "sweep.method=[\"" + method + "\"]"});
    return true;
  } catch (const ConfigError&) {
    return false;
  }
}

TEST(AllMethodsJob, HasEveryMethodWhereItIsDefined) {
  std::map<std::pair<std::string, std::string>, std::set<std::string>> blocks;
  std::set<std::string> somewhere;
  for (const auto& cell : load(kJob, {}).cells) {
    blocks[{cell.dataset, cell.model}].insert(cell.method);
    somewhere.insert(cell.method);
  }
  EXPECT_GE(blocks.size(), 4u);
  for (const auto& name : methods::descriptor_names()) {
    if (name.rfind("broken_", 0) == 0) continue;
    EXPECT_TRUE(somewhere.count(name)) << name << " stands in no block of " << kJob;
    for (const auto& [block, methods] : blocks)
      EXPECT_EQ(methods.count(name) > 0, accepted(block.first, block.second, name))
          << name << " on " << block.first << " with " << block.second;
  }
}

// What the texts' block refuses, and why.
TEST(AllMethodsJob, LanguageModelsRefuseWhatNeedsImagesOrClasses) {
  const auto refusal = [](const std::string& method) -> std::string {
    try {
      load(kJob, {"sweep.include=[]", "sweep.dataset=[\"tofu\"]", "sweep.model=[\"llama_tiny\"]",
                  "sweep.method=[\"" + method + "\"]"});
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  };
  EXPECT_NE(refusal("unsir").find("needs a class label for every sample; the task is causal_lm"),
            std::string::npos);
  EXPECT_NE(refusal("erm_ktp").find("needs a class label"), std::string::npos);
  EXPECT_NE(refusal("l_codec").find("needs inputs with pixels"), std::string::npos);
  EXPECT_NE(refusal("multidelete").find("needs image-caption pairs"), std::string::npos);
  EXPECT_EQ(refusal("dpo"), "");
  const auto with = [](const std::string& key) {
    return load(kJob, {"sweep.include=[]", "sweep.dataset=[\"tofu\"]", "sweep.model=[\"llama_tiny\"]",
                       "sweep.method=[\"fisher\", \"kga\"]", key});
  };
  EXPECT_THROW(with("method.fisher.labels=\"exact\""), ConfigError);
  EXPECT_THROW(with("data.val_fraction=0.0"), ConfigError);  // kga
  EXPECT_NO_THROW(with("method.fisher.labels=\"empirical\""));
}

TEST(AllMethodsJob, TextsAndImagesAreNotMixedUp) {
  const auto refusal = [](const std::string& dataset, const std::string& model) -> std::string {
    try {
      load(kJob, {"sweep.include=[]", "sweep.dataset=[\"" + dataset + "\"]",
                  "sweep.model=[\"" + model + "\"]", "sweep.method=[\"finetune\"]"});
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  };
  EXPECT_NE(refusal("tofu", "resnet8").find("resnet8 takes images alone, tofu has texts alone"),
            std::string::npos);
  EXPECT_NE(refusal("fashion_mnist", "llama_tiny").find("takes texts alone"), std::string::npos);
  EXPECT_NE(refusal("tofu", "two_tower").find("takes image-caption pairs"), std::string::npos);
}

}  // namespace
}  // namespace expunge::sweep
