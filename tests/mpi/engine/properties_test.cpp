// Properties that every registered method must have, whatever it does (methods that are added later are
// tested here too).
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "methods/runner_registry.hpp"
#include "tests/mpi/engine/toys.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;

class EveryMethod : public testing::TestWithParam<std::string> {
 protected:
  const std::string& method() const { return GetParam(); }
  const methods::Descriptor& descriptor() const { return *methods::find_descriptor(GetParam()); }
};

// A few epochs with short last batches; three samples of D_f may share a grain. Everything that is random is
// on.
Toy small_conv(std::int64_t forget = 5, std::int64_t retain = 17) {
  return conv_toy(forget, retain, 0.25).with({{"epochs", 2}, {"batch", 9}});
}
Toy small_mlp(std::int64_t forget = 5, std::int64_t retain = 17) {
  return mlp_toy(forget, retain).with({{"epochs", 2}, {"batch", 8}});
}

TEST_P(EveryMethod, HasARunnerAndSaysWhatItIs) {
  EXPECT_NE(methods::find_runner(method()), nullptr);
  EXPECT_FALSE(descriptor().summary.empty());
  EXPECT_FALSE(descriptor().source.empty());
  const auto& t = descriptor().taxonomy;
  for (const auto* text : {&t.measure, &t.corrupt, &t.retain, &t.parameters}) EXPECT_FALSE(text->empty());
}

TEST_P(EveryMethod, GivesTheSameBitsOnAnyNumberOfRanks) {
  for (const Toy& toy : {small_conv(), small_mlp(), small_conv(3, 30),
                         small_mlp().with({{"optimizer", "sgd"}, {"momentum", 0.9}})}) {
    const auto single = run_method(method(), toy, alone()), many = run_method(method(), toy, world());
    EXPECT_EQ(single.hash, many.hash);
    EXPECT_EQ(single.report.history, many.report.history);
    EXPECT_NE(single.hash,
              run_method(method(), toy.with({{"epochs", 0}}), alone()).hash);  // it did something
  }
}

TEST_P(EveryMethod, RepeatsItself) {
  EXPECT_EQ(run_method(method(), small_conv(), world()).hash,
            run_method(method(), small_conv(), world()).hash);
}

TEST_P(EveryMethod, DependsOnTheSeed) {
  Toy a = small_conv();
  a.start = run_method(method(), a.with({{"epochs", 0}}), alone()).start;
  Toy b = a;
  b.seed = 87;
  EXPECT_NE(run_method(method(), a, alone()).hash, run_method(method(), b, alone()).hash);
}

TEST_P(EveryMethod, LeavesFrozenTensorsAndFrozenStatisticsAlone) {
  Toy toy = small_conv().with({{"bn", "frozen"}});
  toy.trainable = [](const std::string& name) { return name.rfind("conv", 0) != 0; };
  const auto result = run_method(method(), toy, world());
  EXPECT_TRUE(result.frozen.equal(result.start_frozen));
  EXPECT_TRUE(result.buffers.equal(result.start_buffers));
  EXPECT_FALSE(result.values.equal(result.start));
}

TEST_P(EveryMethod, LeavesItsTeachersIntact) {
  const Toy toy = small_conv();
  const auto result = run_method(method(), toy, world());
  auto original = toy.make(), untrained = toy.make();
  original->initialize(Rng(toy.seed, "start"));
  untrained->initialize(Rng(toy.seed, "badinit"));
  const auto same = [](models::Model& a, models::Model& b) {
    const auto x = a.named_parameters(), y = b.named_parameters();
    for (const auto& p : x)
      if (!p.value().equal(y[p.key()])) return false;
    const auto u = a.named_buffers(), v = b.named_buffers();
    for (const auto& p : u)
      if (!p.value().equal(v[p.key()])) return false;
    return true;
  };
  for (const auto& teacher : result.teachers) {
    EXPECT_TRUE(same(*teacher, *original) || same(*teacher, *untrained));
    for (const auto& p : teacher->parameters()) {
      EXPECT_FALSE(p.requires_grad());
      EXPECT_FALSE(result.layout.values.is_alias_of(p));
    }
  }
}

TEST_P(EveryMethod, DoesNothingWithoutDfWhereItSaysSo) {
  const Toy toy = small_conv(0, 17).with({{"bn", "frozen"}});
  const auto result = run_method(method(), toy, world());
  EXPECT_EQ(result.values.equal(result.start), descriptor().noop_on_empty);
  EXPECT_TRUE(result.buffers.equal(result.start_buffers));
}

TEST_P(EveryMethod, DoesNothingWithALearningRateOfZero) {
  const Toy toy = small_conv().with({{"bn", "frozen"}, {"lr", 0}, {"weight_decay", 0.1}});
  const auto result = run_method(method(), toy, world());
  if (!descriptor().noop_on_zero_lr && !descriptor().from_scratch) GTEST_SKIP() << "it may move them";
  EXPECT_TRUE(result.values.equal(result.start));  // from scratch: its own start stays
}

// Stops after every single step and goes on, by turns on one rank and on all.
TEST_P(EveryMethod, ResumesBitForBitAfterEveryStepOnAnyNumberOfRanks) {
  for (const Toy& toy : {small_conv(11, 17), small_mlp(11, 17)}) {
    const auto undisturbed = run_method(method(), toy, world());
    std::optional<store::Checkpoint> checkpoint;
    ToyResult last;
    int incarnations = 0;
    do {
      last = run_method(method(), toy, ++incarnations % 2 ? world() : alone(), 1,
                        checkpoint ? &*checkpoint : nullptr);
      if (last.interrupted) checkpoint = last.checkpoint;
    } while (last.interrupted && incarnations < 100);
    EXPECT_GE(incarnations, 3);  // neggrad takes three steps
    EXPECT_FALSE(last.interrupted);
    EXPECT_EQ(last.hash, undisturbed.hash);
    EXPECT_EQ(last.report.history, undisturbed.report.history);
    EXPECT_EQ(last.report.ledger.student_forward, undisturbed.report.ledger.student_forward);
    EXPECT_EQ(last.report.ledger.teacher_forward, undisturbed.report.ledger.teacher_forward);
    EXPECT_EQ(last.report.steps, undisturbed.report.steps);
  }
}

class MethodOnDf : public EveryMethod {};

TEST_P(MethodOnDf, DoesNotLowerTheLossThere) {
  Toy toy = mlp_toy(24, 176);
  toy.grain = 16;
  // The original: trained on everything.
  Toy all = toy.with({{"epochs", 30}, {"lr", 0.02}, {"batch", 32}});
  all.retain.insert(all.retain.begin(), all.forget.begin(), all.forget.end());
  all.forget.clear();
  toy.start = run_method("retrain", all, alone()).values;
  const double before = mean_loss(toy, toy.start, toy.forget);
  ASSERT_LT(before, 0.3);
  EXPECT_GE(mean_loss(toy, run_method(method(), toy, world()).values, toy.forget),
            before);  // default settings
}

TEST_P(EveryMethod, StaysFiniteWithEmptyAndTinySets) {
  struct Sizes {
    std::int64_t forget, retain;
  };
  for (const auto [forget, retain] : {Sizes{0, 5}, {5, 0}, {1, 1}, {1, 40}, {40, 1}, {0, 0}})
    for (const Toy& toy : {small_conv(forget, retain), small_mlp(forget, retain)}) {
      const auto result = run_method(method(), toy, world());
      EXPECT_TRUE(result.values.isfinite().all().item<bool>()) << forget << " " << retain;
      const torch::Tensor buffers = result.buffers.defined() ? result.buffers : torch::zeros({1});
      EXPECT_TRUE(buffers.isfinite().all().item<bool>()) << forget << " " << retain;
      EXPECT_EQ(result.hash, run_method(method(), toy, alone()).hash);
    }
}

TEST_P(EveryMethod, PlansExactlyWhatItDoes) {
  struct Sizes {
    std::int64_t forget, retain;
  };
  for (const auto [forget, retain] : {Sizes{5, 17}, {17, 5}, {3, 40}, {8, 16}, {0, 9}, {9, 0}, {9, 27}}) {
    const Toy toy = small_mlp(forget, retain);
    methods::Phase total;
    for (const auto& phase : plan_of(method(), toy)) {
      total.steps += phase.steps;
      total.forward += phase.forward, total.backward += phase.backward, total.teacher += phase.teacher;
    }
    const auto report = run_method(method(), toy, world()).report;
    EXPECT_EQ(report.steps, total.steps) << forget << " " << retain;
    EXPECT_EQ(report.ledger.student_forward, total.forward) << forget << " " << retain;
    EXPECT_EQ(report.ledger.student_backward, total.backward) << forget << " " << retain;
    EXPECT_EQ(report.ledger.teacher_forward, total.teacher) << forget << " " << retain;
  }
}

// Methods that corrupt D_f in some way; the others may move its loss either way.
std::vector<std::string> methods_on_df() {
  std::vector<std::string> names;
  for (const auto* descriptor : methods::descriptors())
    if (descriptor->taxonomy.corrupt != "none") names.push_back(descriptor->name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Methods, EveryMethod, testing::ValuesIn(methods::descriptor_names()),
                         [](const auto& info) { return info.param; });
INSTANTIATE_TEST_SUITE_P(Methods, MethodOnDf, testing::ValuesIn(methods_on_df()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace expunge::test
