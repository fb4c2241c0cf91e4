// Every family trains to the same bits on any number of ranks, and after being interrupted.
#include <gtest/gtest.h>

#include "tests/mpi/engine/conformance.hpp"
#include "tests/mpi/engine/family_toys.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::test {
namespace {

class FamilyBits : public testing::TestWithParam<nlohmann::json> {};

TEST_P(FamilyBits, AreTheSameOnAnyRanksAndAfterResuming) {
  const Toy toy = tiny_family_toy(GetParam(), 5, 14).with({{"epochs", 1}, {"batch", 7}});
  const auto single = run_method("finetune", toy, alone()), many = run_method("finetune", toy, world());
  EXPECT_EQ(single.hash, many.hash);
  EXPECT_EQ(single.report.history, many.report.history);
  EXPECT_FALSE(single.values.equal(single.start));
  const auto cut = run_method("finetune", toy, world(), 1);
  ASSERT_TRUE(cut.interrupted);
  EXPECT_EQ(run_method("finetune", toy, alone(), 0, &cut.checkpoint).hash, single.hash);
}

INSTANTIATE_TEST_SUITE_P(Tiny, FamilyBits, testing::ValuesIn(tiny_families()),
                         [](const auto& info) { return family_name(info.param); });

}  // namespace
}  // namespace expunge::test
