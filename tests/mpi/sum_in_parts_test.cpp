// An ordered sum that is made part by part while the last leaf is being filled has the bits of the documented
// tree, whatever the parts, however many of them a rank hands in before its leaf is whole.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "comm/ordered_sum.hpp"
#include "core/error.hpp"
#include "tests/mpi/support/mpi_main.hpp"
#include "tests/mpi/support/ordered_sum_oracle.hpp"

namespace expunge::comm {
namespace {

using test::leaf_values;
using test::push_leaves;
using test::same_bits;
using test::tree_sum;
using test::world;
using Parts = std::vector<OrderedSum::Slice>;

// From the end to the beginning, as gradients become final; the last part is the vector's end.
Parts backward_parts(std::int64_t count, std::int64_t size, std::int64_t tail) {
  Parts out;
  std::int64_t end = (count - tail) / 16 * 16;
  const std::int64_t whole = end;
  for (; end > 0; end = std::max<std::int64_t>(0, end - size))
    out.push_back({std::max<std::int64_t>(0, end - size), end});
  if (count > whole) out.push_back({whole, count});
  return out;
}

// Fills this rank's leaves. Of the last one, `early` parts are handed in as soon as they are filled.
void push_in_parts(OrderedSum& sum, const Parts& parts, std::int64_t leaves, std::int64_t count,
                   std::size_t early, bool adds) {
  sum.begin_in_parts(leaves);
  for (auto leaf = sum.first_leaf(); leaf < sum.last_leaf(); ++leaf) {
    const auto values = leaf_values(leaf, count);
    const bool added = adds && sum.adds_next();
    EXPECT_EQ(sum.takes_parts(), leaf + 1 == sum.last_leaf());
    float* into = added ? sum.sibling() : sum.leaf();
    const bool last = sum.takes_parts();
    for (std::size_t p = 0; p < parts.size(); ++p) {
      for (auto i = parts[p].first; i < parts[p].last; ++i)
        into[i] = added ? into[i] + values[static_cast<std::size_t>(i)] : values[static_cast<std::size_t>(i)];
      if (last && p < early) sum.push_part();
    }
    if (added)
      sum.push_added();
    else
      sum.push();
  }
}

// Elements; ranks of a node; elements of a part.
class InParts : public ::testing::TestWithParam<std::tuple<std::int64_t, int, std::int64_t>> {};

TEST_P(InParts, EqualsTheDocumentedTreeBitForBit) {
  const auto [count, inside, size] = GetParam();
  const Parts parts = backward_parts(count, size, 5);
  OrderedSum sum(world(), count, host_arithmetic(), inside);
  EXPECT_FALSE(sum.has_parts());
  sum.set_parts(parts);
  EXPECT_TRUE(sum.has_parts());
  for (std::int64_t leaves = 0; leaves <= 17; ++leaves) {
    if (count > 10000 && leaves > 3 && leaves != 8 && leaves != 13) continue;
    const auto tree = tree_sum(leaves, count);
    for (const bool adds : {false, true}) {
      // Every rank another number of them.
      const auto early = static_cast<std::size_t>(world().rank() + leaves) % (parts.size() + 1);
      push_in_parts(sum, parts, leaves, count, early, adds);
      EXPECT_TRUE(same_bits(sum.finish(), tree)) << leaves << " leaves of " << count;
      push_in_parts(sum, parts, leaves, count, parts.size(), adds);
      sum.end_parts();
      sum.end_parts();  // nothing more
      EXPECT_TRUE(same_bits(sum.finish(), tree)) << leaves << " leaves of " << count << ", ended";
      push_leaves(sum, leaves, count);  // the same object, as a whole
      EXPECT_TRUE(same_bits(sum.finish(), tree)) << leaves << " leaves of " << count << ", whole";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(OrderedSum, InParts,
                         ::testing::Combine(::testing::Values(21, 1000, 100003), ::testing::Values(0, 1, 2),
                                            ::testing::Values(16, 480, 40000)),
                         [](const auto& info) {
                           return std::to_string(std::get<0>(info.param)) + "on" +
                                  std::to_string(std::get<1>(info.param)) + "by" +
                                  std::to_string(std::get<2>(info.param));
                         });

TEST(SumInParts, LargeParts) {  // slices of whole blocks, several chunks
  const std::int64_t count = 3 * (std::int64_t{1} << 20) + 12345;
  const Parts parts = backward_parts(count, std::int64_t{5} << 18, 77);
  OrderedSum sum(world(), count);
  sum.set_parts(parts);
  push_in_parts(sum, parts, 7, count, 2, true);
  EXPECT_TRUE(same_bits(sum.finish(), tree_sum(7, count)));
}

// A rank that cannot fill its leaves makes up for them, and nobody waits for ever; the next sum is right.
TEST(SumInParts, EndsOnARankThatFails) {
  const std::int64_t count = 500, leaves = 11;
  const Parts parts = backward_parts(count, 64, 20);
  OrderedSum sum(world(), count);
  sum.set_parts(parts);
  for (const std::int64_t filled : {0, 1, 2}) {
    for (const bool half : {false, true}) {
      if (world().rank() != world().size() - 1) {
        push_in_parts(sum, parts, leaves, count, 3, true);
      } else {
        sum.begin_in_parts(leaves);
        for (std::int64_t leaf = 0; leaf < std::min(filled, sum.last_leaf() - sum.first_leaf() - 1); ++leaf) {
          std::fill_n(sum.leaf(), count, 1.0f);
          sum.push();
        }
        if (half) {
          float* into = sum.leaf();
          std::fill_n(into, count, 2.0f);
          if (sum.takes_parts()) sum.push_part();
        }
      }
      sum.end_parts();
      push_in_parts(sum, parts, leaves, count, 3, true);
      EXPECT_TRUE(same_bits(sum.finish(), tree_sum(leaves, count))) << filled << half;
    }
  }
}

TEST(SumInParts, ForksBeforeEveryPartAndJoinsAtTheEnd) {
  std::vector<std::string> seen;
  Beside beside{host_arithmetic(), [&] { seen.push_back("fork"); }, [&] { seen.push_back("join"); }};
  const std::int64_t count = 100;
  OrderedSum sum(world(), count);
  sum.set_parts({{48, 100}, {16, 48}, {0, 16}}, beside);
  sum.begin_in_parts(8);
  while (sum.first_leaf() < sum.last_leaf() && !sum.takes_parts()) {
    std::fill_n(sum.leaf(), count, 1.0f);
    sum.push();
    EXPECT_TRUE(seen.empty());
  }
  if (sum.takes_parts()) {
    std::fill_n(sum.leaf(), count, 1.0f);
    sum.push();
  }
  EXPECT_EQ(*sum.finish(), 8.0f);
  EXPECT_EQ(seen, (std::vector<std::string>{"fork", "fork", "fork", "join"}));
}

TEST(SumInParts, RefusesWhatCannotBe) {
  OrderedSum sum(world(), 100);
  EXPECT_THROW(sum.set_parts({{0, 48}}), InternalError);             // not all
  EXPECT_THROW(sum.set_parts({{0, 48}, {48, 101}}), InternalError);  // too much
  EXPECT_THROW(sum.begin_in_parts(3), InternalError);
  sum.set_parts({{48, 100}, {0, 48}});
  sum.begin(4 * world().size());
  EXPECT_FALSE(sum.takes_parts());
  EXPECT_THROW(sum.push_part(), InternalError);
  EXPECT_THROW(sum.end_parts(), InternalError);
  sum.begin_in_parts(4 * world().size());
  EXPECT_THROW(sum.push_part(), InternalError);  // three leaves too early
  EXPECT_THROW(sum.finish_slice(), InternalError);
}

}  // namespace
}  // namespace expunge::comm
