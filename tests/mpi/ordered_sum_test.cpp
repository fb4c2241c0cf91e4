#include "comm/ordered_sum.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <tuple>
#include <vector>

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

// Elements; ranks of a node (0: as they are).
class Forms : public ::testing::TestWithParam<std::tuple<std::int64_t, int>> {};

TEST_P(Forms, EqualTheDocumentedTreeBitForBit) {
  const auto [count, inside] = GetParam();
  OrderedSum sum(world(), count, host_arithmetic(), inside);
  if (inside > 0) {
    EXPECT_EQ(sum.hierarchical(), inside > 1 && world().size() % inside == 0 && world().size() > inside);
  }
  for (std::int64_t leaves = 0; leaves <= 17; ++leaves) {
    if (count > 10000 && leaves > 3 && leaves != 8 && leaves != 13) continue;
    const auto tree = tree_sum(leaves, count);
    push_leaves(sum, leaves, count);
    EXPECT_TRUE(same_bits(sum.finish(), tree)) << leaves << " leaves of " << count;
    push_leaves(sum, leaves, count);
    const float* mine = sum.finish_slice();
    const auto [first, last] = sum.slice(world().rank());
    EXPECT_EQ(std::memcmp(mine + first, tree.data() + first,
                          sizeof(float) * static_cast<std::size_t>(last - first)),
              0)
        << "slice, " << leaves << " leaves of " << count;
  }
}

INSTANTIATE_TEST_SUITE_P(OrderedSum, Forms,
                         ::testing::Combine(::testing::Values(0, 1, 15, 16, 17, 1000, 100003),
                                            ::testing::Values(0, 1, 2, 3, 4)));

TEST(OrderedSum, InputsTellOrdersApart) {
  // The oracle would be worthless if the plain left-to-right sum gave the same bits.
  const std::int64_t count = 1000, leaves = 7;
  std::vector<float> plain(static_cast<std::size_t>(count), 0.0f);
  for (std::int64_t leaf = 0; leaf < leaves; ++leaf) {
    const auto values = leaf_values(leaf, count);
    for (std::size_t i = 0; i < plain.size(); ++i) plain[i] += values[i];
  }
  const auto tree = tree_sum(leaves, count);
  std::int64_t differing = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) differing += plain[i] != tree[i];
  EXPECT_GT(differing, count / 4);
}

TEST(OrderedSum, HandMadeCancellation) {
  // ((1e8 + 1) + (-1e8)) is 0 in float, while (1e8 + (1 - 1e8)) and (1e8 - 1e8) + 1 are 0 and 1: the tree
  // over 3 leaves is (a + b) + c.
  const float leaves[3] = {1e8f, 1.0f, -1e8f};
  OrderedSum sum(world(), 1);
  sum.begin(3);
  for (auto leaf = sum.first_leaf(); leaf < sum.last_leaf(); ++leaf) {
    *sum.leaf() = leaves[leaf];
    sum.push();
  }
  EXPECT_EQ(*sum.finish(), 0.0f);
  const float swapped[4] = {1e8f, -1e8f, 1.0f, 2.0f};  // (1e8 - 1e8) + (1 + 2)
  sum.begin(4);
  for (auto leaf = sum.first_leaf(); leaf < sum.last_leaf(); ++leaf) {
    *sum.leaf() = swapped[leaf];
    sum.push();
  }
  EXPECT_EQ(*sum.finish(), 3.0f);
}

TEST(OrderedSum, ManyLeaves) {
  for (const std::int64_t leaves : {31, 64, 100, 257}) {
    OrderedSum sum(world(), 33);
    push_leaves(sum, leaves, 33);
    EXPECT_TRUE(same_bits(sum.finish(), tree_sum(leaves, 33))) << leaves;
  }
}

TEST(OrderedSum, SeveralChunks) {
  const std::int64_t count =
      5 * (std::int64_t{1} << 20) + 12345;  // a slice is longer than one piece of the exchange
  for (const std::int64_t leaves : {3, 4}) {
    const auto tree = tree_sum(leaves, count);
    for (const int inside : {1, 2}) {
      OrderedSum sum(world(), count, host_arithmetic(), inside);
      push_leaves(sum, leaves, count);
      EXPECT_TRUE(same_bits(sum.finish(), tree)) << leaves << " on nodes of " << inside;
    }
  }
}

TEST(OrderedSum, BuffersAreReused) {
  int allocations = 0, releases = 0;
  {
    Arithmetic counting = host_arithmetic();
    const auto allocate = counting.allocate;
    const auto release = counting.release;
    counting.allocate = [&](std::int64_t count) { return ++allocations, allocate(count); };
    counting.release = [&](float* memory) { ++releases, release(memory); };
    OrderedSum sum(world(), 100, counting);
    int first = 0;
    for (std::uint64_t step = 0; step < 6; ++step) {
      for (const std::int64_t leaves : {8, 5, 8}) {
        push_leaves(sum, leaves, 100, step);
        EXPECT_TRUE(same_bits(sum.finish(), tree_sum(leaves, 100, step)));
      }
      if (step == 0) first = allocations;
    }
    EXPECT_EQ(allocations, first);
    EXPECT_LE(first, 5 + 3);  // log2(8) + 2 buffers, and at most one landing place for each plan so far
  }
  EXPECT_EQ(allocations, releases);
}

// Leaves that the caller adds to their siblings itself.
TEST(OrderedSum, TakesLeavesThatWereAddedToTheirSiblings) {
  for (std::int64_t leaves = 1; leaves <= 13; ++leaves) {
    const std::int64_t count = 33;
    OrderedSum sum(world(), count);
    for (int round = 0; round < 2; ++round) {
      sum.begin(leaves);
      std::int64_t added = 0;
      for (auto leaf = sum.first_leaf(); leaf < sum.last_leaf(); ++leaf) {
        const auto values = leaf_values(leaf, count);
        EXPECT_EQ(sum.adds_next(), leaf % 2 == 1 && leaf > sum.first_leaf());
        if (!sum.adds_next()) {
          std::copy(values.begin(), values.end(), sum.leaf());
          sum.push();
          continue;
        }
        for (std::size_t i = 0; i < values.size(); ++i) sum.sibling()[i] += values[i];
        sum.push_added();
        ++added;
      }
      if (leaves == 13 && world().size() == 1) EXPECT_EQ(added, 6);
      EXPECT_TRUE(same_bits(sum.finish(), tree_sum(leaves, count))) << leaves;
    }
  }
  OrderedSum sum(world(), 5);
  sum.begin(2 * world().size());
  EXPECT_THROW(sum.sibling(), InternalError);
  EXPECT_THROW(sum.push_added(), InternalError);
}

// Every rank has the tree's sum in its slice; the slices cover the vector; gathers make any part whole.
TEST(OrderedSum, EndsWithSlicesThatAreGatheredInParts) {
  for (const std::int64_t count : std::vector<std::int64_t>{1, 100, 4097, 16 * kSliceBlock + 5}) {
    const std::int64_t leaves = 3;
    OrderedSum sum(world(), count);
    push_leaves(sum, leaves, count);
    const auto want = tree_sum(leaves, count);
    auto* mine = const_cast<float*>(sum.finish_slice());
    std::vector<OrderedSum::Slice> slices;
    for (int r = 0; r < world().size(); ++r) slices.push_back(sum.slice(r));
    const auto own = slices[static_cast<std::size_t>(world().rank())];
    EXPECT_EQ(std::memcmp(mine + own.first, want.data() + own.first,
                          static_cast<std::size_t>(own.last - own.first) * sizeof(float)),
              0);
    // A hierarchical sum's are not in the order of the ranks.
    std::ranges::sort(slices, {}, [](const auto& s) { return std::pair{s.first, s.last}; });
    std::int64_t next = 0;
    for (const auto [first, last] : slices) {
      EXPECT_EQ(first, next);
      if (count > 16 * kSliceBlock) EXPECT_EQ(first % kSliceBlock, 0);
      next = last;
    }
    EXPECT_EQ(next, count);
    const std::int64_t middle = count / 3;
    sum.gather(mine, middle, count);
    EXPECT_EQ(std::memcmp(mine + middle, want.data() + middle,
                          static_cast<std::size_t>(count - middle) * sizeof(float)),
              0);
    sum.gather(mine, 0, middle);
    EXPECT_TRUE(same_bits(mine, want));
  }
}

TEST(OrderedSum, BeginAfterAnUnfinishedSum) {
  OrderedSum sum(world(), 17);
  sum.begin(8);
  if (sum.first_leaf() < sum.last_leaf()) {
    sum.leaf();
    sum.push();
  }
  push_leaves(sum, 6, 17);
  EXPECT_TRUE(same_bits(sum.finish(), tree_sum(6, 17)));
}

TEST(OrderedSum, RefusesWrongUse) {
  OrderedSum sum(world(), 4);
  EXPECT_THROW(sum.finish(), InternalError);  // before begin
  EXPECT_THROW(sum.push(), InternalError);
  EXPECT_THROW(sum.begin(-1), InternalError);
  sum.begin(4 * world().size());
  EXPECT_THROW(sum.push(), InternalError);    // nothing filled
  EXPECT_THROW(sum.finish(), InternalError);  // leaves are missing
}

TEST(OrderedSum, NativeIsCloseToTheTree) {
  const std::int64_t count = 1000;
  OrderedSum sum(world(), count);
  for (std::int64_t leaves = 0; leaves <= 9; ++leaves) {
    sum.begin(leaves);
    std::vector<double> exact(static_cast<std::size_t>(count), 0.0);
    for (std::int64_t leaf = 0; leaf < leaves; ++leaf)
      for (std::int64_t i = 0; i < count; ++i)
        exact[static_cast<std::size_t>(i)] += static_cast<float>(0.1 * static_cast<double>(i % 7 + leaf + 1));
    for (auto leaf = sum.first_leaf(); leaf < sum.last_leaf(); ++leaf) {
      float* into = sum.leaf();
      for (std::int64_t i = 0; i < count; ++i)
        into[i] = static_cast<float>(0.1 * static_cast<double>(i % 7 + leaf + 1));
      sum.push();
    }
    const float* result = sum.finish_native();
    for (std::int64_t i = 0; i < count; ++i)
      EXPECT_NEAR(result[i], exact[static_cast<std::size_t>(i)],
                  1e-5 * (1 + exact[static_cast<std::size_t>(i)]));
  }
}

TEST(OrderedSum, OnSplitCommunicators) {
  const auto part = world().split(world().rank() % 2, world().rank());
  const auto seed = static_cast<std::uint64_t>(world().rank() % 2 + 10);
  OrderedSum sum(*part, 1000);
  push_leaves(sum, 7, 1000, seed);
  EXPECT_TRUE(same_bits(sum.finish(), tree_sum(7, 1000, seed)));
}

TEST(OwnedLeaves, AreAPartition) {
  for (int ranks = 1; ranks <= 9; ++ranks)
    for (std::int64_t leaves = 0; leaves <= 40; ++leaves) {
      std::int64_t next = 0;
      for (int r = 0; r < ranks; ++r) {
        const auto [first, last] = owned_leaves(leaves, r, ranks);
        EXPECT_EQ(first, next);
        EXPECT_GE(last, first);
        EXPECT_LE(last - first, (leaves + ranks - 1) / ranks);
        next = last;
      }
      EXPECT_EQ(next, leaves);
    }
}

}  // namespace
}  // namespace expunge::comm
