// The hierarchical ordered sum on more ranks and nodes than a test machine has: ranks are threads that copy
// from each other. And what tells nodes apart.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "comm/nodes.hpp"
#include "comm/ordered_sum.hpp"
#include "core/error.hpp"
#include "tests/mpi/support/ordered_sum_oracle.hpp"

namespace expunge::comm {
namespace {

using test::leaf_values;
using test::push_leaves;
using test::same_bits;
using test::tree_sum;

// What the ranks show each other during a call, and the bytes that exchanges carried from node to node.
struct Board {
  explicit Board(int ranks) : all(ranks), send(ranks), bytes(ranks), data(ranks) {}
  std::barrier<> all;
  std::vector<const std::vector<const void*>*> send;
  std::vector<const std::vector<std::size_t>*> bytes;
  std::vector<char*> data;
  std::atomic<std::size_t> crossed{0};
};

class ThreadRank final : public Communicator {
 public:
  ThreadRank(Board& board, int rank, int size, int ranks_per_node)
      : Communicator(rank, size, ranks_per_node), board_(board) {}
  std::string transport() const override { return "threads"; }

  void exchange(const std::vector<const void*>& send, const std::vector<std::size_t>& send_bytes,
                const std::vector<void*>& recv, const std::vector<std::size_t>& recv_bytes, void*) override {
    const auto me = static_cast<std::size_t>(rank_);
    board_.send[me] = &send, board_.bytes[me] = &send_bytes;
    board_.all.arrive_and_wait();
    for (std::size_t r = 0; r < recv.size(); ++r) {
      EXPECT_EQ((*board_.bytes[r])[me], recv_bytes[r]) << "from rank " << r << " to " << me;
      if (recv_bytes[r] > 0 && recv_bytes[r] == (*board_.bytes[r])[me])
        std::memcpy(recv[r], (*board_.send[r])[me], recv_bytes[r]);
      if (node_of(r) != node_of(me)) board_.crossed += recv_bytes[r];
    }
    board_.all.arrive_and_wait();
  }

  void all_gather_slices(void* data, const std::vector<std::size_t>& offsets, void*) override {
    const auto me = static_cast<std::size_t>(rank_);
    board_.data[me] = static_cast<char*>(data);
    board_.all.arrive_and_wait();
    for (std::size_t r = 0; r + 1 < offsets.size(); ++r)
      if (r != me)
        std::memcpy(board_.data[me] + offsets[r], board_.data[r] + offsets[r], offsets[r + 1] - offsets[r]);
    board_.all.arrive_and_wait();
  }

  void barrier() override { board_.all.arrive_and_wait(); }
  void broadcast(void*, std::size_t, int) override { unused(); }
  void all_gather(const void*, void*, const std::vector<std::size_t>&) override { unused(); }
  void gather(const void*, void*, const std::vector<std::size_t>&, int) override { unused(); }
  void native_sum(float*, std::int64_t, void*) override { unused(); }
  std::unique_ptr<Communicator> split(int, int) override {
    unused();
    return nullptr;
  }

 private:
  std::size_t node_of(std::size_t rank) const { return rank / static_cast<std::size_t>(ranks_per_node_); }
  static void unused() { throw std::logic_error("an ordered sum has no use for this"); }
  Board& board_;
};

// Runs `work` on ranks, each a thread; returns the bytes that exchanges carried between nodes.
std::size_t on_ranks(int ranks, int ranks_per_node, const std::function<void(Communicator&)>& work) {
  Board board(ranks);
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      ThreadRank comm(board, r, ranks, ranks_per_node);
      work(comm);
    });
  for (auto& thread : threads) thread.join();
  return board.crossed;
}

struct Shape {
  int ranks, inside;
};

class Nodes : public ::testing::TestWithParam<Shape> {};

TEST_P(Nodes, GiveTheBitsOfTheDocumentedTree) {
  const auto [ranks, inside] = GetParam();
  for (const std::int64_t count : {0, 1, 17, 100, 1003}) {
    std::vector<std::vector<float>> trees;
    const std::vector<std::int64_t> numbers{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 23, 31, 37, 64};
    for (const auto leaves : numbers) trees.push_back(tree_sum(leaves, count));
    on_ranks(ranks, inside, [&](Communicator& comm) {
      OrderedSum sum(comm, count);
      EXPECT_TRUE(sum.hierarchical());
      for (std::size_t i = 0; i < numbers.size(); ++i) {
        push_leaves(sum, numbers[i], count);
        EXPECT_TRUE(same_bits(sum.finish(), trees[i]))
            << numbers[i] << " leaves of " << count << ", rank " << comm.rank();
      }
    });
  }
}

TEST_P(Nodes, SlicesCoverTheVectorAndAreGatheredInAnyRange) {
  const auto [ranks, inside] = GetParam();
  const std::int64_t count = 1003, leaves = 13;
  const auto tree = tree_sum(leaves, count);
  on_ranks(ranks, inside, [&](Communicator& comm) {
    OrderedSum sum(comm, count);
    std::vector<OrderedSum::Slice> before;
    std::vector<int> owners(static_cast<std::size_t>(count), 0);
    for (int r = 0; r < comm.size(); ++r) {
      before.push_back(sum.slice(r));
      EXPECT_TRUE(before.back().first % 16 == 0 && before.back().first <= before.back().last);
      for (auto i = before.back().first; i < before.back().last; ++i) ++owners[static_cast<std::size_t>(i)];
    }
    for (const int times : owners) EXPECT_EQ(times, 1);
    push_leaves(sum, leaves, count);
    const float* result = sum.finish_slice();
    const auto [first, last] = sum.slice(comm.rank());
    EXPECT_EQ(first, before[static_cast<std::size_t>(comm.rank())].first);
    EXPECT_EQ(last, before[static_cast<std::size_t>(comm.rank())].last);
    std::vector<float> mine(static_cast<std::size_t>(count), -1.0f);
    std::copy(result + first, result + last, mine.begin() + first);
    std::int64_t from = 0;
    for (const std::int64_t to : {0, 5, 333, 1001, 1003}) {
      sum.gather(mine.data(), from, to);
      EXPECT_EQ(std::memcmp(mine.data() + from, tree.data() + from,
                            sizeof(float) * static_cast<std::size_t>(to - from)),
                0)
          << "[" << from << ", " << to << ") on rank " << comm.rank();
      from = to;
    }
  });
}

TEST_P(Nodes, AllocateNothingOnceWarm) {
  const auto [ranks, inside] = GetParam();
  on_ranks(ranks, inside, [&](Communicator& comm) {
    int allocations = 0, releases = 0, first = 0;
    {
      Arithmetic counting = host_arithmetic();
      const auto allocate = counting.allocate;
      const auto release = counting.release;
      counting.allocate = [&](std::int64_t count) { return ++allocations, allocate(count); };
      counting.release = [&](float* memory) { ++releases, release(memory); };
      OrderedSum sum(comm, 100, counting);
      for (std::uint64_t step = 0; step < 4; ++step) {
        for (const std::int64_t leaves : {8, 5, 24}) {
          push_leaves(sum, leaves, 100, step);
          sum.finish();
        }
        if (step == 0) first = allocations;
      }
    }
    EXPECT_EQ(allocations, first);
    EXPECT_EQ(allocations, releases);
  });
}

INSTANTIATE_TEST_SUITE_P(HierarchicalSum, Nodes,
                         ::testing::Values(Shape{4, 2}, Shape{6, 2}, Shape{6, 3}, Shape{8, 2}, Shape{8, 4},
                                           Shape{9, 3}, Shape{10, 5}, Shape{12, 4}),
                         [](const auto& info) {
                           return std::to_string(info.param.ranks) + "_by_" +
                                  std::to_string(info.param.inside);
                         });

// Both a piece (of a node's rank) and a slice (across nodes) take several chunks.
TEST(HierarchicalSum, SeveralChunks) {
  const std::int64_t count = 4 * (std::int64_t{1} << 20) + 4321, leaves = 5;
  const auto tree = tree_sum(leaves, count);
  on_ranks(4, 2, [&](Communicator& comm) {
    OrderedSum sum(comm, count);
    push_leaves(sum, leaves, count);
    EXPECT_TRUE(same_bits(sum.finish(), tree)) << comm.rank();
  });
}

// Two nodes of four ranks, a leaf each: a node's run is one subtree, of which half has to leave it. Flat,
// half of every rank's leaf leaves its node.
TEST(HierarchicalSum, SendsOneSumOfANodeOverTheNetwork) {
  const std::int64_t count = 1024;
  const auto crossed = [&](int ranks_per_node) {
    return on_ranks(8, 4, [&](Communicator& comm) {
      OrderedSum sum(comm, count, host_arithmetic(), ranks_per_node);
      push_leaves(sum, 8, count);
      sum.finish_slice();
    });
  };
  const std::size_t vector = sizeof(float) * static_cast<std::size_t>(count);
  EXPECT_EQ(crossed(OrderedSum::kAsTheNodesAre), 2 * vector / 2);
  EXPECT_EQ(crossed(1), 8 * vector / 2);
}

TEST(HierarchicalSum, IsFlatWhereNodesDoNotAllowIt) {
  Board board(1);
  const auto form = [&](int ranks, int of_communicator, int wished) {
    ThreadRank comm(board, 0, ranks, of_communicator);
    return OrderedSum(comm, 100, host_arithmetic(), wished).hierarchical();
  };
  EXPECT_TRUE(form(8, 4, OrderedSum::kAsTheNodesAre));
  EXPECT_TRUE(form(8, 1, 4));
  EXPECT_FALSE(form(8, 4, 1));
  EXPECT_FALSE(form(8, 8, OrderedSum::kAsTheNodesAre));  // one node
  EXPECT_FALSE(form(8, 1, OrderedSum::kAsTheNodesAre));  // one rank a node
  EXPECT_FALSE(form(8, 1, 3));                           // the last node holds fewer
  EXPECT_FALSE(form(8, 1, 16));
}

TEST(NodesOfRanks, AreEvenRunsOfRanks) {
  EXPECT_EQ(even_runs({0}), 1);
  EXPECT_EQ(even_runs({7, 7, 7}), 3);
  EXPECT_EQ(even_runs({0, 0, 2, 2}), 2);
  EXPECT_EQ(even_runs({5, 5, 5, 1, 1, 1, 9, 9, 9}), 3);
  EXPECT_EQ(even_runs({0, 1, 2}), 1);
  EXPECT_EQ(even_runs({0, 0, 1}), 1);  // unequal
  EXPECT_EQ(even_runs({0, 1, 1}), 1);
  EXPECT_EQ(even_runs({0, 0, 1, 1, 0, 0}), 1);  // a node that comes back
  EXPECT_EQ(even_runs({0, 1, 0, 1}), 1);
  EXPECT_EQ(even_runs({0, 0, 1, 2}), 1);
}

TEST(NodesOfRanks, AreDeclaredByAPositiveNumber) {
  const auto declared = [](const char* text) {
    ::setenv("EXPUNGE_RANKS_PER_NODE", text, 1);
    try {
      const int out = declared_ranks_per_node();
      ::unsetenv("EXPUNGE_RANKS_PER_NODE");
      return std::to_string(out);
    } catch (const ConfigError& error) {
      ::unsetenv("EXPUNGE_RANKS_PER_NODE");
      return std::string(error.what());
    }
  };
  ::unsetenv("EXPUNGE_RANKS_PER_NODE");
  EXPECT_EQ(declared_ranks_per_node(), 0);
  EXPECT_EQ(declared("4"), "4");
  for (const char* wrong : {"", "0", "-2", "two", "2x", "99999999999"})
    EXPECT_EQ(declared(wrong),
              "EXPUNGE_RANKS_PER_NODE: expected a number of ranks > 0, got \"" + std::string(wrong) + "\"");
}

}  // namespace
}  // namespace expunge::comm
