#include "comm/communicator.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "comm/collective_log.hpp"
#include "comm/nodes.hpp"
#include "core/error.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::comm {
namespace {

using test::runtime;
using test::world;

// Byte `i` of what rank `from` has for rank `to`.
unsigned char byte_of(int from, int to, std::size_t i) {
  return static_cast<unsigned char>(37 * from + 101 * to + i * 7 + i / 251);
}

TEST(Communicator, KnowsItsTransport) {
  EXPECT_EQ(world().transport(), world().size() == 1 ? "self" : "mpi");
  EXPECT_GE(world().rank(), 0);
  EXPECT_LT(world().rank(), world().size());
}

// One machine, or as EXPUNGE_RANKS_PER_NODE declares.
TEST(Communicator, KnowsTheNodesOfItsRanks) {
  const int declared = declared_ranks_per_node(), size = world().size(), me = world().rank();
  if (declared == 0 && runtime().local_ranks() < size) GTEST_SKIP() << "the ranks are on several machines";
  const auto node = [&](int rank) { return declared > 0 ? rank / declared : 0; };
  std::vector<int> all, reversed, alternate;
  for (int r = 0; r < size; ++r) {
    all.push_back(node(r));
    reversed.insert(reversed.begin(), node(r));
    if (r % 2 == me % 2) alternate.push_back(node(r));
  }
  EXPECT_EQ(world().ranks_per_node(), even_runs(all));
  EXPECT_EQ(world().split(0, -me)->ranks_per_node(), even_runs(reversed));
  const auto part = world().split(me % 2, me);
  EXPECT_EQ(part->ranks_per_node(), even_runs(alternate));
  EXPECT_EQ(part->split(0, part->rank())->ranks_per_node(), even_runs(alternate));
}

TEST(Communicator, AllGatherUnevenAndEmpty) {
  for (int empty = 0; empty <= world().size(); ++empty) {  // empty == size: nobody is
    std::vector<std::size_t> counts;
    std::string expected;
    for (int r = 0; r < world().size(); ++r) {
      counts.push_back(r == empty ? 0 : static_cast<std::size_t>(3 * r + 1));
      expected += std::string(counts.back(), static_cast<char>('a' + r));
    }
    const std::string mine(counts[static_cast<std::size_t>(world().rank())],
                           static_cast<char>('a' + world().rank()));
    std::string all(expected.size(), '?');
    world().all_gather(mine.data(), all.data(), counts);
    EXPECT_EQ(all, expected);
  }
}

TEST(Communicator, GatherReachesTheRootOnly) {
  std::vector<std::size_t> counts;
  std::string expected;
  for (int r = 0; r < world().size(); ++r) {
    counts.push_back(static_cast<std::size_t>(r % 2 == 0 ? 5 - r : 0));
    expected += std::string(counts.back(), static_cast<char>('a' + r));
  }
  const std::string mine(counts[static_cast<std::size_t>(world().rank())],
                         static_cast<char>('a' + world().rank()));
  for (int root = 0; root < world().size(); ++root) {
    std::string all(expected.size(), '?');
    world().gather(mine.data(), world().rank() == root ? all.data() : nullptr, counts, root);
    EXPECT_EQ(all, world().rank() == root ? expected : std::string(expected.size(), '?'));
  }
}

TEST(Communicator, LargeGathersAreCut) {
  // More than one MPI call carries: the pieces take another way.
  std::vector<std::size_t> counts;
  for (int r = 0; r < world().size(); ++r)
    counts.push_back((std::size_t{17} << 20) + static_cast<std::size_t>(r));
  const auto me = static_cast<std::size_t>(world().rank());
  std::vector<unsigned char> mine(counts[me]);
  for (std::size_t i = 0; i < mine.size(); ++i) mine[i] = byte_of(world().rank(), 0, i);
  const auto right = [&](const std::vector<unsigned char>& all) {
    std::size_t at = 0;
    for (int r = 0; r < world().size(); ++r)
      for (std::size_t i = 0; i < counts[static_cast<std::size_t>(r)]; ++i)
        if (all[at++] != byte_of(r, 0, i)) return false;
    return true;
  };
  std::vector<unsigned char> all(std::accumulate(counts.begin(), counts.end(), std::size_t{0}));
  world().all_gather(mine.data(), all.data(), counts);
  EXPECT_TRUE(right(all));
  std::fill(all.begin(), all.end(), 0);
  const int root = world().size() - 1;
  world().gather(mine.data(), all.data(), counts, root);
  EXPECT_EQ(right(all), world().rank() == root);
}

TEST(Communicator, BroadcastFromEveryRoot) {
  for (int root = 0; root < world().size(); ++root)
    for (const std::size_t bytes :
         {std::size_t{0}, std::size_t{1}, std::size_t{1000}, (std::size_t{33} << 20) + 5}) {
      if (bytes > 1000 && root > 0) continue;
      std::vector<unsigned char> data(bytes, 0xff);
      if (world().rank() == root)
        for (std::size_t i = 0; i < bytes; ++i) data[i] = byte_of(root, 1, i);
      world().broadcast(data.data(), bytes, root);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < bytes; ++i) wrong += data[i] != byte_of(root, 1, i);
      EXPECT_EQ(wrong, 0u);
    }
}

TEST(Communicator, BroadcastText) {
  std::string text =
      world().rank() == 0 ? std::string("scrub\0bad_t", 11) : "longer than what comes and to be replaced";
  world().broadcast_text(text, 0);
  EXPECT_EQ(text, std::string("scrub\0bad_t", 11));
  world().broadcast_text(text = world().rank() == 0 ? "" : "x", 0);
  EXPECT_EQ(text, "");
}

void exchange_once(const std::function<std::size_t(int from, int to)>& bytes) {
  const int me = world().rank();
  std::vector<std::vector<unsigned char>> out, in;
  std::vector<const void*> send;
  std::vector<void*> recv;
  std::vector<std::size_t> send_bytes, recv_bytes;
  for (int r = 0; r < world().size(); ++r) {
    send_bytes.push_back(bytes(me, r)), recv_bytes.push_back(bytes(r, me));
    out.emplace_back(send_bytes.back()), in.emplace_back(recv_bytes.back());
    for (std::size_t i = 0; i < out.back().size(); ++i) out.back()[i] = byte_of(me, r, i);
  }
  for (const auto& piece : out) send.push_back(piece.data());
  for (auto& piece : in) recv.push_back(piece.data());
  world().exchange(send, send_bytes, recv, recv_bytes, nullptr);
  for (int r = 0; r < world().size(); ++r) {
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < in[static_cast<std::size_t>(r)].size(); ++i)
      wrong += in[static_cast<std::size_t>(r)][i] != byte_of(r, me, i);
    EXPECT_EQ(wrong, 0u) << "from rank " << r;
  }
}

TEST(Communicator, ExchangeUneven) {
  exchange_once([](int from, int to) { return static_cast<std::size_t>(from * 10 + to); });
  exchange_once([](int from, int to) { return static_cast<std::size_t>(from < to ? 0 : 9000); });
  exchange_once([](int, int) { return std::size_t{0}; });
}

TEST(Communicator, ExchangeOfMoreThanOneMessage) {
  exchange_once([](int from, int to) {
    return from == 0 ? (std::size_t{40} << 20) + 3 : to == 0 ? std::size_t{17} << 20 : std::size_t{100};
  });
}

TEST(Communicator, AllGatherSlices) {
  const auto ranks = static_cast<std::size_t>(world().size());
  std::vector<std::size_t> offsets{0};
  for (std::size_t r = 0; r < ranks; ++r) offsets.push_back(offsets.back() + (r == 1 ? 0 : 64 * r + 5));
  std::vector<unsigned char> data(offsets.back(), 0);
  const auto me = static_cast<std::size_t>(world().rank());
  for (std::size_t i = offsets[me]; i < offsets[me + 1]; ++i) data[i] = static_cast<unsigned char>(i);
  world().all_gather_slices(data.data(), offsets, nullptr);
  for (std::size_t i = 0; i < data.size(); ++i) EXPECT_EQ(data[i], static_cast<unsigned char>(i));
}

TEST(Communicator, NativeSum) {
  std::vector<float> data(1003);
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = static_cast<float>(i) * static_cast<float>(world().rank() + 1);
  world().native_sum(data.data(), static_cast<std::int64_t>(data.size()), nullptr);
  const float factor = static_cast<float>(world().size() * (world().size() + 1) / 2);
  for (std::size_t i = 0; i < data.size(); ++i)
    EXPECT_EQ(data[i], static_cast<float>(i) * factor);  // exact: small integers
}

TEST(Communicator, SplitOrdersByKey) {
  const auto reversed = world().split(0, -world().rank());
  EXPECT_EQ(reversed->size(), world().size());
  EXPECT_EQ(reversed->rank(), world().size() - 1 - world().rank());

  const int color = world().rank() % 2;
  const auto part = world().split(color, world().rank());
  EXPECT_EQ(part->size(), (world().size() + 1 - color) / 2);
  EXPECT_EQ(part->rank(), world().rank() / 2);
  const auto members = part->all_gather_value(world().rank());
  for (int r = 0; r < part->size(); ++r) EXPECT_EQ(members[static_cast<std::size_t>(r)], 2 * r + color);

  const auto alone = world().split(world().rank(), 0);
  EXPECT_EQ(alone->size(), 1);
  EXPECT_EQ(alone->transport(), "self");
}

// What agree() throws here: its exit code and message, or {0, ""}.
std::pair<int, std::string> agreed(const std::string& problem, int exit_code) {
  try {
    world().agree(problem, exit_code);
  } catch (const Error& error) {
    return {error.exit_code(), error.what()};
  }
  return {0, ""};
}

TEST(Agree, SilentWhenAllIsWell) { EXPECT_EQ(agreed("", kExitConfig).first, 0); }

TEST(Agree, EveryRankThrowsTheFailingRanksError) {
  for (int bad = 0; bad < world().size(); ++bad) {
    const auto [code, message] =
        agreed(world().rank() == bad ? "disk is full" : "", world().rank() == bad ? 73 : 64);
    EXPECT_EQ(code, 73);
    EXPECT_EQ(message, world().size() == 1 ? "disk is full"
                                           : fmt::format("rank {} of {}: disk is full", bad, world().size()));
  }
}

TEST(Agree, SameTextEverywhereNeedsNoPrefix) {
  EXPECT_EQ(agreed("no such file", 66), std::make_pair(66, std::string("no such file")));
}

TEST(Agree, LowestRankSpeaksForDifferentTexts) {
  const auto [code, message] = agreed(fmt::format("bad {}", world().rank()), 64 + world().rank());
  EXPECT_EQ(code, 64);
  const char* expected[] = {"bad 0", "ranks 0, 1 of 2: bad 0", "ranks 0-2 of 3: bad 0",
                            "ranks 0-3 of 4: bad 0"};
  if (world().size() <= 4) {
    EXPECT_EQ(message, expected[world().size() - 1]);
  }
}

TEST(Together, OneRanksErrorIsEveryRanks) {
  const int bad = world().size() - 1;
  const auto fails = [&] {
    if (world().rank() == bad) throw DataError::corrupt("shard is cut off");
  };
  try {
    world().together(fails);
    ADD_FAILURE() << "together() returned";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), kExitCorrupt);
    EXPECT_NE(std::string(error.what()).find("shard is cut off"), std::string::npos);
  }
  int done = 0;
  world().together([&] { ++done; });
  EXPECT_EQ(done, 1);
  EXPECT_EQ(world().all_gather_value(world().rank()).size(),
            static_cast<std::size_t>(world().size()));  // still in step
}

TEST(Together, OtherExceptionsAreInternal) {
  try {
    world().together([] { throw std::runtime_error("odd"); });
    ADD_FAILURE() << "together() returned";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), kExitInternal);
    EXPECT_STREQ(error.what(), "odd");
  }
}

TEST(CollectiveLog, NumbersAndNamesOnlyTheOutermost) {
  const auto number = [](const std::string& text) { return std::stoll(text.substr(text.find('#') + 1)); };
  world().barrier();
  const auto before = last_collective();
  EXPECT_TRUE(before.ends_with(" barrier")) << before;
  world().agree("", 64);  // gathers inside
  EXPECT_EQ(last_collective(), fmt::format("last collective #{} agree", number(before) + 1));
  EXPECT_FALSE(inside_collective());
  {
    const CollectiveScope scope("ordered_sum");
    EXPECT_TRUE(inside_collective());
  }
  EXPECT_GT(world().seconds(), 0);
}

TEST(Runtime, KnowsItsNode) {
  EXPECT_GE(runtime().local_rank(), 0);
  EXPECT_LT(runtime().local_rank(), runtime().local_ranks());
  EXPECT_LE(runtime().local_ranks(), world().size());
  EXPECT_GE(runtime().available_cpus(), 1);
  EXPECT_FALSE(runtime().mpi_version().empty());
  if (runtime().mpi_version().starts_with("Open MPI")) {
    EXPECT_TRUE(std::isdigit(static_cast<unsigned char>(runtime().mpi_version()[9])))
        << runtime().mpi_version();
  }
}

TEST(Runtime, HasOneOnly) { EXPECT_THROW(Runtime(nullptr, nullptr), InternalError); }

}  // namespace
}  // namespace expunge::comm
