// What measures the communication: bandwidths by hand, sums checked element by element, and a communicator
// that watches another one without changing it.
#include <gtest/gtest.h>

#include <thread>

#include "comm/bench_allreduce.hpp"
#include "comm/watched.hpp"
#include "tests/mpi/support/mpi_main.hpp"

namespace expunge::comm {
namespace {

using test::world;

TEST(Bandwidth, AsNcclTestsDefinesIt) {
  EXPECT_DOUBLE_EQ(algorithm_bandwidth(1'000'000, 1e-3), 1e9);
  EXPECT_DOUBLE_EQ(bus_bandwidth(1'000'000, 1e-3, 2), 1e9);
  EXPECT_DOUBLE_EQ(bus_bandwidth(1'000'000, 1e-3, 4), 1.5e9);
  EXPECT_DOUBLE_EQ(bus_bandwidth(1'000'000, 1e-3, 1), 0);
}

TEST(Allreduce, SumsAreRightAndTimed) {
  for (const std::int64_t bytes : {1, 400, 100'000}) EXPECT_EQ(count_wrong(world(), bytes), 0) << bytes;
  const auto timing = time_allreduce(
      world(), host_arithmetic(), 4096, [] {}, 0.001);
  EXPECT_EQ(timing.bytes, 4096);
  EXPECT_GT(timing.ordered_s, 0);
  EXPECT_GT(timing.native_s, 0);
  EXPECT_EQ(timing.hierarchical_s > 0, OrderedSum(world(), 1).hierarchical());
}

TEST(Allreduce, ReportHasALineForEverySize) {
  const auto report = bench_allreduce(test::runtime(), {1024});
  EXPECT_EQ(report.wrong, 0);
  EXPECT_NE(report.table.find("ordered bus"), std::string::npos);
  EXPECT_NE(report.table.find("1.00 KiB"), std::string::npos) << report.table;
  EXPECT_EQ(report.table.find("hierarch. bus") != std::string::npos, OrderedSum(world(), 1).hierarchical());
}

TEST(Watched, PassesOnAndNotesTimes) {
  Watched watched(world());
  EXPECT_EQ(watched.rank(), world().rank());
  EXPECT_EQ(watched.size(), world().size());
  EXPECT_EQ(watched.transport(), world().transport());
  watched.mark();
  const auto marked = watched.first_began();
  EXPECT_EQ(watched.last_ended(), marked);
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  const auto ranks = watched.all_gather_value(watched.rank());
  const auto first = watched.first_began();
  for (std::size_t r = 0; r < ranks.size(); ++r) EXPECT_EQ(ranks[r], static_cast<int>(r));
  EXPECT_GE(first - marked, std::chrono::milliseconds(2));
  OrderedSum sum(watched, 1000);
  sum.begin(8);
  for (std::int64_t g = sum.first_leaf(); g < sum.last_leaf(); ++g) {
    std::fill_n(sum.leaf(), 1000, static_cast<float>(g));
    sum.push();
  }
  const float* result = sum.finish();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(result[i], 28.0f);
  watched.barrier();
  EXPECT_EQ(watched.first_began(), first);
  EXPECT_GT(watched.last_ended(), first);
  EXPECT_GT(watched.seconds(), 0);
}

}  // namespace
}  // namespace expunge::comm
