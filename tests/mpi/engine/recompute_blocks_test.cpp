// Runs whose transformers' blocks run again in the backward pass end in the same bits, whatever the method
// takes gradients of.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.hpp"
#include "models/torch/recompute.hpp"
#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/engine/family_toys.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

void expect_same_bits(const std::string& method, const Toy& toy) {
  const auto plain = run_method(method, toy, alone());
  const models::Recomputing recomputing(true);
  const auto again = run_method(method, toy, world());
  EXPECT_EQ(plain.hash, again.hash) << method;
  EXPECT_EQ(plain.report.history, again.report.history) << method;
  EXPECT_EQ(plain.report.ledger.student_forward, again.report.ledger.student_forward);
  EXPECT_EQ(plain.report.ledger.student_backward, again.report.ledger.student_backward);
}

nlohmann::json tiny(const std::string& type) {
  for (const auto& config : tiny_families())
    if (config.at("model_type") == type) return config;
  throw InternalError("no tiny " + type);
}

class RecomputedRun : public testing::TestWithParam<std::string> {};

TEST_P(RecomputedRun, HasTheSameBits) {
  for (const char* precision : {"fp32", "bf16"}) {
    Toy toy = tiny_family_toy(tiny(GetParam()), 5, 14);
    toy = toy.with({{"epochs", 1}, {"batch", 7}, {"precision", precision}});
    expect_same_bits("finetune", toy);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, RecomputedRun, testing::Values("vit", "swin", "albert", "deberta-v2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Teachers, terms of several losses, gradients of single samples from layers' inputs and from passes of their
// own, sums of gradients, gradients at chosen units.
class RecomputedMethod : public testing::TestWithParam<std::string> {};

TEST_P(RecomputedMethod, HasTheSameBits) {
  const Toy toy = tiny_family_toy(tiny("vit"), 5, 14).with({{"epochs", 1}, {"batch", 7}});
  expect_same_bits(GetParam(), toy.with(small_options(GetParam())));
}

INSTANTIATE_TEST_SUITE_P(Methods, RecomputedMethod,
                         testing::Values("scrub", "salun", "fisher", "ssd", "l_codec", "kga"),
                         [](const auto& info) { return info.param; });

// Squared gradients from a pass for each sample: its positions' table serves all samples.
TEST(RecomputedPasses, OfSingleSamplesHaveTheSameBits) {
  const Toy toy = tiny_family_toy(tiny("deberta-v2"), 4, 9).with({{"epochs", 1}, {"batch", 7}});
  expect_same_bits("ssd", toy.with(small_options("ssd")));
}

TEST(RecomputedRuns, ResumeOnTheSameBits) {
  const Toy toy = tiny_family_toy(tiny("bert"), 5, 14).with({{"epochs", 1}, {"batch", 7}});
  const auto plain = run_method("finetune", toy, alone());
  ToyResult cut;
  {
    const models::Recomputing recomputing(true);
    cut = run_method("finetune", toy, world(), 1);
  }
  ASSERT_TRUE(cut.interrupted);
  EXPECT_EQ(run_method("finetune", toy, alone(), 0, &cut.checkpoint).hash, plain.hash);
}

}  // namespace
}  // namespace expunge::test
