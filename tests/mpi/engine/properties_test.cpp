// Properties that every registered method must have, whatever it does (methods that are added later are
// tested here too).
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <optional>

#include "methods/runner_registry.hpp"
#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

using nlohmann::json;

class EveryMethod : public testing::TestWithParam<std::string> {
 protected:
  const std::string& method() const { return GetParam(); }
  const methods::Descriptor& descriptor() const { return *methods::find_descriptor(GetParam()); }
};

// The methods' own suites carry the golden numbers of their cards: "l1_sparse" is proved by "L1Sparse".
std::string plain(const std::string& name) {
  std::string out;
  for (char c : name)
    if (c != '_') out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

TEST_P(EveryMethod, HasGoldenTestsOfItsOwn) {
  const auto& all = *testing::UnitTest::GetInstance();
  bool found = false;
  for (int i = 0; i < all.total_test_suite_count(); ++i)
    found |= plain(all.GetTestSuite(i)->name()) == plain(method());
  EXPECT_TRUE(found) << "no test suite is called like " << method();
}

TEST_P(EveryMethod, HasARunnerAndSaysWhatItIs) {
  EXPECT_NE(methods::find_runner(method()), nullptr);
  EXPECT_FALSE(descriptor().summary.empty());
  EXPECT_FALSE(descriptor().source.empty());
  const auto& t = descriptor().taxonomy;
  for (const auto* text : {&t.measure, &t.corrupt, &t.retain, &t.parameters}) EXPECT_FALSE(text->empty());
}

TEST_P(EveryMethod, GivesTheSameBitsOnAnyNumberOfRanks) {
  for (const Toy& toy : {small_conv(method()), small_mlp(method()), small_conv(method(), 3, 30),
                         small_mlp(method()).with({{"optimizer", "sgd"}, {"momentum", 0.9}})}) {
    const auto single = run_method(method(), toy, alone()), many = run_method(method(), toy, world());
    EXPECT_EQ(single.hash, many.hash);
    EXPECT_EQ(single.report.history, many.report.history);
    // ssd may find nothing to dampen in a toy; its own tests see it act.
    if (method() != "ssd") EXPECT_FALSE(single.values.equal(single.start));  // it did something
  }
}

TEST_P(EveryMethod, RepeatsItself) {
  EXPECT_EQ(run_method(method(), small_conv(method()), world()).hash,
            run_method(method(), small_conv(method()), world()).hash);
}

TEST_P(EveryMethod, DependsOnTheSeed) {
  if (descriptor().draws_nothing) GTEST_SKIP() << "it draws nothing";
  Toy a = small_conv(method());
  a.start = run_program([](Context&) { return Outcome::kFinished; }, a, alone()).start;
  Toy b = a;
  b.seed = 87;
  EXPECT_NE(run_method(method(), a, alone()).hash, run_method(method(), b, alone()).hash);
}

TEST_P(EveryMethod, LeavesFrozenTensorsAndFrozenStatisticsAlone) {
  Toy toy = small_conv(method()).with({{"bn", "frozen"}});
  toy.trainable = [](const std::string& name) { return name.rfind("conv", 0) != 0; };
  const auto result = run_method(method(), toy, world());
  EXPECT_TRUE(result.frozen.equal(result.start_frozen));
  if (result.buffers.defined()) EXPECT_TRUE(result.buffers.equal(result.start_buffers));
  // ssd may find nothing to dampen; what rmu trains is frozen here.
  if (method() != "ssd" && method() != "rmu") EXPECT_FALSE(result.values.equal(result.start));
}

// Every parameter and buffer of a network, as one string of bytes.
std::string bits_of(models::Model& model) {
  std::string out;
  const auto add = [&](const torch::Tensor& t) {
    const torch::Tensor c = t.detach().contiguous();
    out.append(static_cast<const char*>(c.data_ptr()), static_cast<std::size_t>(c.nbytes()));
  };
  for (const auto& p : model.parameters()) add(p);
  for (const auto& b : model.buffers()) add(b);
  return out;
}

TEST_P(EveryMethod, LeavesItsTeachersIntact) {
  // A teacher as it was when a step first met it. Helpers that are being trained are no teachers yet.
  std::map<models::Model*, std::string> met;
  Toy toy = small_conv(method());
  const MakeModel make = toy.make;
  std::vector<std::shared_ptr<models::Model>> made;
  toy.make = [&] {
    made.push_back(make());
    return made.back();
  };
  toy.inspect = [&](StepView& step) {
    for (std::size_t i = 1; i < made.size(); ++i) {  // the first is the student
      const auto parameters = made[i]->parameters();
      if (std::any_of(parameters.begin(), parameters.end(), [](const auto& p) { return p.requires_grad(); }))
        continue;
      met.try_emplace(made[i].get(), bits_of(*made[i]));
      for (const auto& p : parameters)
        for (const auto& values : step.values) EXPECT_FALSE(values.is_alias_of(p));
    }
  };
  run_method(method(), toy, world());
  for (const auto& [teacher, bits] : met) EXPECT_EQ(bits_of(*teacher), bits);
}

TEST_P(EveryMethod, DoesNothingWithoutDfWhereItSaysSo) {
  const Toy toy = small_conv(method(), 0, 17).with({{"bn", "frozen"}});
  const auto result = run_method(method(), toy, world());
  EXPECT_EQ(result.values.equal(result.start), descriptor().noop_on_empty);
  if (result.buffers.defined()) EXPECT_TRUE(result.buffers.equal(result.start_buffers));
}

TEST_P(EveryMethod, DoesNothingWithALearningRateOfZero) {
  const Toy toy = small_conv(method()).with({{"bn", "frozen"}, {"lr", 0}, {"weight_decay", 0.1}});
  const auto result = run_method(method(), toy, world());
  if (!descriptor().noop_on_zero_lr && !descriptor().from_scratch) GTEST_SKIP() << "it may move them";
  EXPECT_TRUE(result.values.equal(result.start));  // from scratch: its own start stays
}

// Stops after every single step and goes on, by turns on one rank and on all.
TEST_P(EveryMethod, ResumesBitForBitAfterEveryStepOnAnyNumberOfRanks) {
  for (const Toy& toy : {small_conv(method(), 11, 17), small_mlp(method(), 11, 17)}) {
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

// Default settings, but for the sizes of phases that are sized for data sets.
json own_scale(const std::string& method) {
  if (method == "l_codec") return {{"perturbations", 40}, {"deletion_batch", 8}, {"noise", false}};
  if (method == "unsir") return {{"noise_items", 64}, {"batch", 32}};
  return json::object();
}

TEST_P(MethodOnDf, DoesNotLowerTheLossThere) {
  Toy toy = mlp_for(method(), 24, 176).with(own_scale(method()));
  toy.grain = 16;
  // The original: trained on everything.
  Toy all = mlp_for(method(), 24, 176).with({{"epochs", 30}, {"lr", 0.02}, {"batch", 32}});
  all.grain = 16;
  all.retain.insert(all.retain.begin(), all.forget.begin(), all.forget.end());
  all.forget.clear();
  toy.start = run_method("retrain", all, alone()).values;
  const double before = mean_loss(toy, toy.start, toy.forget);
  ASSERT_LT(before, 0.3);
  EXPECT_GE(mean_loss(toy, run_method(method(), toy, world()).values, toy.forget, method()),
            before);  // default settings
}

TEST_P(EveryMethod, StaysFiniteWithEmptyAndTinySets) {
  struct Sizes {
    std::int64_t forget, retain;
  };
  for (const auto [forget, retain] : {Sizes{0, 5}, {5, 0}, {1, 1}, {1, 40}, {40, 1}, {0, 0}})
    for (const Toy& toy : {small_conv(method(), forget, retain), small_mlp(method(), forget, retain)}) {
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
    const Toy toy = small_mlp(method(), forget, retain);
    methods::Phase total;
    for (const auto& phase : plan_of(method(), toy)) {
      total.steps += phase.steps;
      total.forward += phase.forward, total.backward += phase.backward, total.teacher += phase.teacher;
    }
    const auto report = run_method(method(), toy, world()).report;
    if (descriptor().stops_early) {
      EXPECT_LE(report.steps, total.steps);
      EXPECT_LE(report.ledger.student_forward, total.forward);
      EXPECT_LE(report.ledger.student_backward, total.backward);
      EXPECT_LE(report.ledger.teacher_forward, total.teacher);
      continue;
    }
    EXPECT_EQ(report.steps, total.steps) << forget << " " << retain;
    EXPECT_EQ(report.ledger.student_forward, total.forward) << forget << " " << retain;
    EXPECT_EQ(report.ledger.student_backward, total.backward) << forget << " " << retain;
    EXPECT_EQ(report.ledger.teacher_forward, total.teacher) << forget << " " << retain;
  }
}

// Methods that corrupt D_f in some way; the others may move its loss either way, and so may kga, which aims
// at a distance that may be larger or smaller than the one at the start.
std::vector<std::string> methods_on_df() {
  std::vector<std::string> names;
  for (const auto* descriptor : methods::descriptors())
    if (descriptor->taxonomy.corrupt != "none" && descriptor->name.rfind("broken_", 0) != 0 &&
        descriptor->name != "kga")
      names.push_back(descriptor->name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Methods, EveryMethod, testing::ValuesIn(conforming_methods()),
                         [](const auto& info) { return info.param; });
INSTANTIATE_TEST_SUITE_P(Methods, MethodOnDf, testing::ValuesIn(methods_on_df()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace expunge::test
