// The model of a step's time on many ranks: every form of the sum by hand, and the fit on timings that were
// made from a known link.
#include "stat/scaling_model.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace expunge::stat {
namespace {

TEST(StepShares, AddUpToTheSlowestRanksStep) {
  // Busy 6, 8 and 10 of a step of 11: the mean rank waits 2 for the busiest, 1 is left for messages.
  const std::vector<RankStep> ranks{{11, 6, 1}, {11, 8, 2}, {10.5, 10, 3}};
  const auto shares = share_step(ranks);
  EXPECT_DOUBLE_EQ(shares.input, 2);
  EXPECT_DOUBLE_EQ(shares.compute, 6);
  EXPECT_DOUBLE_EQ(shares.imbalance, 2);
  EXPECT_DOUBLE_EQ(shares.communication, 1);
  EXPECT_DOUBLE_EQ(shares.total(), 11);
  EXPECT_EQ(share_step({}).total(), 0);
}

// 2 (P - 1) messages of a slice: 2 us each and 1 GB/s.
SumTiming made(int ranks, double bytes, double latency = 2e-6, double per_byte = 1e-9) {
  return {ranks, bytes, 2.0 * (ranks - 1) * (latency + bytes / ranks * per_byte)};
}

TEST(LinkFit, FindsTheLinkThatTimingsWereMadeFrom) {
  const std::vector<SumTiming> timings{made(2, 4096), made(2, 1 << 20), made(4, 65536), made(4, 8 << 20)};
  const auto fit = fit_link(timings);
  EXPECT_EQ(fit.count, 4);
  EXPECT_NEAR(fit.link.latency, 2e-6, 1e-12);
  EXPECT_NEAR(fit.link.per_byte, 1e-9, 1e-15);
  EXPECT_LT(fit.worst, 1e-6);
}

TEST(LinkFit, IsNeverNegative) {
  // Small sums take no time for their bytes: the free fit has a negative latency.
  const std::vector<SumTiming> steep{{2, 1e3, 1e-8}, {2, 1e6, 1e-3}};
  EXPECT_EQ(fit_link(steep).link.latency, 0);
  EXPECT_GT(fit_link(steep).link.per_byte, 0);
  EXPECT_GT(fit_link(steep).worst, 0.01);
  const std::vector<SumTiming> falling{{2, 1e3, 1e-3}, {2, 1e6, 1e-4}};
  EXPECT_EQ(fit_link(falling).link.per_byte, 0);
  // Least squares of relative errors, latency alone: 2 L / 1e-3 and 2 L / 1e-4 should be 1, so L = (2000 +
  // 20000) / (2000^2 + 20000^2).
  EXPECT_NEAR(fit_link(falling).link.latency, 22000.0 / 4.04e8, 1e-12);
}

TEST(LinkFit, OneSizeAloneIsBandwidth) {
  const std::vector<SumTiming> timings{{2, 1e6, 1e-3}, {2, 1e6, 1e-3}};
  EXPECT_EQ(fit_link(timings).link.latency, 0);
  EXPECT_NEAR(fit_link(timings).link.per_byte, 1e-9, 1e-18);
}

TEST(LinkFit, OneRankTellsNothing) {
  const std::vector<SumTiming> timings{{1, 1e6, 1e-3}, {2, 1e6, 0}};
  EXPECT_EQ(fit_link(timings).count, 0);
}

// Inside 1 us and 1 ns a byte, across 10 us and 2 ns a byte, four ranks a node.
constexpr Topology kTopology{{1e-6, 1e-9}, {1e-5, 2e-9}, 4};
constexpr double kBytes = 1.6e6;

TEST(SumSeconds, OnOneNodeByHand) {
  EXPECT_EQ(sum_seconds(SumForm::kRing, kTopology, 1, kBytes), 0);
  // Two rounds up and two down, each 1 us + 1.6 ms.
  EXPECT_NEAR(sum_seconds(SumForm::kTree, kTopology, 4, kBytes), 4 * 1.601e-3, 1e-12);
  // Six messages of 0.4 MB: 1 us + 0.4 ms.
  EXPECT_NEAR(sum_seconds(SumForm::kRing, kTopology, 4, kBytes), 6 * 0.401e-3, 1e-12);
  EXPECT_NEAR(sum_seconds(SumForm::kHierarchical, kTopology, 4, kBytes), 6 * 0.401e-3, 1e-12);
  // Three ranks need as many rounds as four.
  EXPECT_NEAR(sum_seconds(SumForm::kTree, kTopology, 3, kBytes), 4 * 1.601e-3, 1e-12);
}

TEST(SumSeconds, AcrossNodesByHand) {
  // Sixteen ranks on four nodes. Tree: two rounds inside, two across (10 us + 3.2 ms), up and down.
  EXPECT_NEAR(sum_seconds(SumForm::kTree, kTopology, 16, kBytes), 2 * (2 * 1.601e-3 + 2 * 3.21e-3), 1e-12);
  // Ring: slices of 0.1 MB. Exchange: 3 of 101 us inside, 12 of 10 us + 4 * 0.2 ms out. Around: 15 of 210 us.
  EXPECT_NEAR(sum_seconds(SumForm::kRing, kTopology, 16, kBytes), 3 * 101e-6 + 12 * 810e-6 + 15 * 210e-6,
              1e-12);
  // Hierarchical: six of 0.401 ms inside; across, there and back, three of 10 us + 0.4 MB in 0.8 ms.
  EXPECT_NEAR(sum_seconds(SumForm::kHierarchical, kTopology, 16, kBytes), 6 * 0.401e-3 + 6 * 0.81e-3, 1e-12);
}

StepCost cost() {
  StepCost c;
  c.grain_s = 11e-3, c.grain_alone_s = 10e-3, c.fixed_s = 2e-3;
  c.grains = 8;
  c.sum_bytes = kBytes, c.report_bytes = 100;
  return c;
}

TEST(StepModel, StrongByHand) {
  EXPECT_NEAR(step_seconds(cost(), kTopology, SumForm::kRing, 1), 82e-3, 1e-12);
  // Four ranks: two grains each; reports: two rounds of 1 us and 800 bytes; six slices.
  const double four = 22e-3 + 2e-6 + 800e-9 + 6 * 0.401e-3 + 2e-3;
  EXPECT_NEAR(step_seconds(cost(), kTopology, SumForm::kRing, 4), four, 1e-12);
  EXPECT_NEAR(predicted_efficiency(cost(), kTopology, SumForm::kRing, 4), 82e-3 / four / 4, 1e-12);
  // Three ranks: the busiest has three grains. More ranks than grains: one grain.
  EXPECT_NEAR(step_seconds(cost(), kTopology, SumForm::kHierarchical, 3),
              33e-3 + 2e-6 + 800e-9 + 4 * (1e-6 + kBytes / 3 * 1e-9) + 2e-3, 1e-12);
  EXPECT_GT(step_seconds(cost(), kTopology, SumForm::kHierarchical, 4096), 13e-3);
  EXPECT_EQ(predicted_efficiency(cost(), kTopology, SumForm::kTree, 1), 1);
}

TEST(StepModel, WeakByHand) {
  auto c = cost();
  c.weak = true;
  // Sixteen ranks: eight grains each, 128 reports over the network, rounds 2 inside and 2 across.
  const double sixteen = 88e-3 + 2e-6 + 2e-5 + 12800 * 2e-9 + 6 * 0.401e-3 + 6 * 0.81e-3 + 2e-3;
  EXPECT_NEAR(step_seconds(c, kTopology, SumForm::kHierarchical, 16), sixteen, 1e-12);
  EXPECT_NEAR(predicted_efficiency(c, kTopology, SumForm::kHierarchical, 16), 82e-3 / sixteen, 1e-12);
}

TEST(StepModel, TheHierarchyLosesLeastOnManyRanks) {
  auto c = cost();
  c.weak = true;
  for (const int ranks : {64, 512, 4096}) {
    const double tree = predicted_efficiency(c, kTopology, SumForm::kTree, ranks),
                 ring = predicted_efficiency(c, kTopology, SumForm::kRing, ranks),
                 both = predicted_efficiency(c, kTopology, SumForm::kHierarchical, ranks);
    EXPECT_GT(both, tree) << ranks;
    EXPECT_GT(both, ring) << ranks;
    EXPECT_LT(both, 1) << ranks;
    EXPECT_GT(ring, 0) << ranks;
  }
}

}  // namespace
}  // namespace expunge::stat
