// The memory that a plan expects, part by part, against numbers by hand.
#include "sweep/memory.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/error.hpp"
#include "models/activations.hpp"
#include "sweep/outline.hpp"
#include "sweep/sweep.hpp"

namespace expunge::sweep {
namespace {

namespace fs = std::filesystem;

class SweepMemory : public testing::Test {
 protected:
  void TearDown() override { fs::remove(file_); }
  // The one group of a sweep over this model and method; training options in `train`.
  GroupMemory group(const std::string& model, const std::string& method, const std::string& train = "",
                    const std::string& more = "") {
    std::ofstream(file_)
        << "[sweep]\ndataset = [\"cifar10\"]\nmodel = [\"" << model << "\"]\nmethod = [\"" << method
        << "\"]\nratio = [0.1]\nseed = [42, 87]\n"
        << "[data]\ntrain_limit = 1000\ntest_limit = 200\nval_fraction = 0.1\n"
        << "[original]\nepochs = 1\nbatch = 128\ngrain = 32\n[train]\nbatch = 128\ngrain = 32\n"
        << train << more;
    const auto plan = load_outline(file_);
    EXPECT_EQ(plan.memory.size(), 1u);
    return plan.memory.at(0);
  }
  fs::path file_ =
      fs::temp_directory_path() / ("expunge_memory_test." + std::to_string(::getpid()) + ".toml");
};

constexpr double kResNet18 = 11689512 - 513000 + 5130;  // torchvision's, with ten classes

TEST_F(SweepMemory, HasThePartsOfARun) {
  const auto g = group("resnet18", "scrub");
  EXPECT_EQ(g.dataset, "cifar10");
  EXPECT_EQ(g.model, "resnet18");
  EXPECT_EQ(g.run, "scrub");  // the original needs no teacher
  const auto& m = g.memory;
  EXPECT_EQ(m.parameters, 4 * kResNet18);
  EXPECT_EQ(m.leaf, m.parameters);
  EXPECT_EQ(m.optimizer, 2 * m.parameters);
  EXPECT_EQ(m.copies, m.parameters);
  EXPECT_EQ(m.grains, 4);
  // Four grains of one rank: the sum of two, and of the two others; of two ranks or four: one.
  EXPECT_EQ(m.gradients(1), 2 * m.leaf);
  EXPECT_EQ(m.gradients(2), m.leaf);
  EXPECT_EQ(m.gradients(4), m.leaf);
  // A fiftieth of the training samples, all in all in every second stretch of 22; of the test samples too.
  const double stretch = 1 + 65536.0 / 3080;
  EXPECT_NEAR(m.data, 3080 * (50000 * (1 - std::pow(0.98, stretch)) + 10000 * (1 - std::pow(0.98, stretch))),
              1e3);
  EXPECT_EQ(m.outputs, 1200 * (10 * 4 + 16));
  const double sum = m.outputs + m.parameters + m.gradients(2) + m.optimizer / 2 + m.copies + m.activations;
  EXPECT_GT(m.total(2), m.process + m.data + sum);
  EXPECT_LT(m.total(2), m.process + m.data + 1.2 * sum);
  EXPECT_EQ(to_json(m, 2).at("total"), m.total(2));
}

TEST_F(SweepMemory, FollowsTheOptions) {
  const auto adamw = group("resnet18", "finetune").memory;
  EXPECT_EQ(group("resnet18", "finetune", "optimizer = { name = \"sgd\", momentum = 0.9 }\n",
                  "[model.resnet18.original]\noptimizer = { name = \"sgd\" }\n")
                .memory.optimizer,
            adamw.parameters);
  const auto small = group("resnet18", "finetune", "",
                           "[model.resnet18.original]\ngrain = 8\n[model.resnet18.train]\ngrain = 8\n");
  EXPECT_EQ(small.memory.grains, 16);
  EXPECT_EQ(small.memory.gradients(1), 4 * small.memory.leaf);
  EXPECT_NEAR(small.memory.activations, adamw.activations / 4, 1);
  const auto whole = group("vit_tiny_patch4", "scrub"),
             again = group("vit_tiny_patch4", "scrub", "", "[run]\nrecompute_blocks = true\n");
  EXPECT_LT(again.memory.activations, 0.4 * whole.memory.activations);
  EXPECT_EQ(again.memory.optimizer, whole.memory.optimizer);
  const auto bf16 = group("vit_tiny_patch4", "scrub", "precision = \"bf16\"\n",
                          "[model.vit_tiny_patch4.original]\nprecision = \"bf16\"\n")
                        .memory;
  EXPECT_LT(bf16.activations, whole.memory.activations);
  EXPECT_EQ(bf16.parameters, 1.5 * whole.memory.parameters);
}

// Where little is trained, evaluation may be the peak: a second network, no optimiser.
TEST_F(SweepMemory, IsThatOfTheLargerMoment) {
  const auto g =
      group("resnet18", "neggrad", "optimizer = { name = \"sgd\", momentum = 0 }\n",
            "[model.resnet18.original]\nbatch = 8\ngrain = 8\noptimizer = { name = \"sgd\", momentum = 0 }\n"
            "[model.resnet18.train]\nbatch = 8\ngrain = 8\n[evaluate]\ngrain = 4096\n");
  EXPECT_EQ(g.memory.grains, 0);
  EXPECT_EQ(g.memory.gradients(1), 0);
  EXPECT_EQ(g.memory.copies, g.memory.parameters);
}

// One layer by hand: 2 tokens of width 4, perceptron of 8, one head.
TEST(Activations, OfATransformerLayer) {
  const models::AttentionLayer plain{.tokens = 2, .hidden = 4, .inner = 8, .scores = 4};
  EXPECT_EQ(plain.kept(), 8 * 8 + 2 * 16 + 4);
  const models::AttentionLayer drops{
      .tokens = 2, .hidden = 4, .inner = 8, .scores = 4, .drops = true, .drops_scores = true};
  EXPECT_EQ(drops.kept(), 10 * 8 + 2 * 16 + 12);
  const auto three = models::of_layers(plain, 3, 5);
  EXPECT_EQ(three.kept, 3 * 100 + 5);
  EXPECT_EQ(three.recomputed, 3 * 8 + 100 + 5);
}

}  // namespace
}  // namespace expunge::sweep
