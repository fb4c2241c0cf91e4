// A model that is large for the number of ranks: every rank takes the optimiser's step for its slice alone.
#include <gtest/gtest.h>

#include <optional>

#include "comm/ordered_sum.hpp"
#include "tests/mpi/engine/toys.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

// 14 floats a channel: about a million, and BatchNorm's statistics behind them.
Toy wide_toy(nlohmann::json options) {
  Toy toy = conv_toy(7, 11, 0.25);
  toy.make = conv_net(0.25, 80000);
  return toy.with({{"epochs", 2}, {"batch", 6}, {"clip", 0.5}}).with(std::move(options));
}

struct Case {
  const char* method;
  nlohmann::json options;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.method << " " << c.options; }

// l1_sparse looks at the whole gradient in its first epoch and not in its second; scrub has a teacher.
class SlicedStep : public testing::TestWithParam<Case> {};

TEST_P(SlicedStep, HasTheBitsOfAWholeOneAndResumesOnOtherRanks) {
  const auto& [method, options] = GetParam();
  const Toy toy = wide_toy(options);
  const auto single = run_method(method, toy, alone()), many = run_method(method, toy, world());
  const comm::OrderedSum sum(world(), single.values.numel());
  for (int r = 0; r < world().size(); ++r)  // large enough to be cut
    EXPECT_EQ(sum.slice(r).first % comm::kSliceBlock, 0);
  EXPECT_EQ(single.hash, many.hash);
  EXPECT_EQ(single.report.history, many.report.history);
  EXPECT_FALSE(single.values.equal(single.start));
  std::optional<store::Checkpoint> checkpoint;
  ToyResult last;
  int incarnations = 0;
  do {
    last = run_method(method, toy, ++incarnations % 3 ? world() : alone(), 2,
                      checkpoint ? &*checkpoint : nullptr);
    if (last.interrupted) checkpoint = last.checkpoint;
  } while (last.interrupted && incarnations < 100);
  EXPECT_GT(incarnations, 2);
  EXPECT_EQ(last.hash, single.hash);
}

INSTANTIATE_TEST_SUITE_P(Methods, SlicedStep,
                         testing::Values(Case{"finetune", {{"optimizer", "adamw"}}},
                                         Case{"finetune", {{"optimizer", "sgd"}, {"momentum", 0.9}}},
                                         Case{"l1_sparse", {{"no_l1_epochs", 1}, {"optimizer", "adamw"}}},
                                         Case{"scrub", {{"max_epochs", 1}}}),
                         [](const auto& info) {
                           return std::string(info.param.method) + std::to_string(info.index);
                         });

}  // namespace
}  // namespace expunge::test
