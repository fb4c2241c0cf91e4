// What a training step costs on P ranks: measured parts of a step, a model of the ordered sum's messages
// fitted to measured sums, and the efficiency that follows for numbers of ranks that nobody has at hand. Pure
// functions.
//
// A message of n bytes takes latency + n per_byte seconds (Hockney, Parallel Computing 20, 1994). Additions
// are part of per_byte, because the sums that it is fitted to contain them.
#pragma once

#include <cstdint>
#include <span>

namespace expunge::stat {

// One rank's part of a step, seconds. `busy`: outside of collectives, `input` (reading samples) included.
struct RankStep {
  double step = 0, busy = 0, input = 0;
};

// Where the seconds of a step go; the four add up to the step of the slowest rank. Imbalance is what the mean
// rank waits for the busiest one; communication is what remains of the step beside the busiest rank's work.
struct StepShares {
  double compute = 0, input = 0, imbalance = 0, communication = 0;
  double total() const { return compute + input + imbalance + communication; }
};
// Zeros without ranks.
StepShares share_step(std::span<const RankStep> ranks);

struct Link {
  double latency = 0, per_byte = 0;  // seconds, seconds a byte
};

// An ordered sum of a vector of `bytes` over `ranks`, as measured.
struct SumTiming {
  int ranks = 1;
  double bytes = 0, seconds = 0;
};

// The link that explains timings on one node best: least squares of the relative errors of seconds =
// 2 (P - 1) latency + 2 (P - 1) / P bytes per_byte (slices exchanged, then gathered), neither negative.
struct LinkFit {
  Link link;
  std::int64_t count = 0;  // timings with two ranks or more and positive seconds; 0: nothing was fitted
  double worst = 0;        // largest relative error of a timing
};
LinkFit fit_link(std::span<const SumTiming> timings);

struct Topology {
  Link inside, across;     // of a node; between nodes, where a node's ranks share one connection
  int ranks_per_node = 1;  // at least 1
};

// Forms of the ordered sum. All keep the order of additions, so the same bits.
//   kTree          whole vectors up the binary tree to one rank, and down again
//   kRing          slices: each rank receives its slice of every other's partial sum, then slices travel once
//                  around (what the program does on one node, and as its flat form)
//   kHierarchical  pieces inside a node; across nodes every rank exchanges slices of its piece with the ranks
//                  in its place on the other nodes; slices gathered across, pieces inside (what the program
//                  does on several nodes). One partial sum a node, as where a node's leaves are one subtree:
//                  else there are up to 2 log2(leaves of a node).
enum class SumForm { kTree, kRing, kHierarchical };

// Seconds of one sum of `bytes` over `ranks`; 0 on one rank. Full nodes: the last one is as full as others.
double sum_seconds(SumForm form, const Topology& topology, int ranks, double bytes);

// A step as measured.
struct StepCost {
  double grain_s = 0;        // of a grain, with every core of the node at work
  double grain_alone_s = 0;  // of a grain on one rank with the node for itself
  double fixed_s = 0;        // once a step on every rank: clipping, optimiser
  std::int64_t grains = 1;   // strong: of a step; weak: of a rank's part of a step
  bool weak = false;
  double sum_bytes = 0;     // of the vector that is summed
  double report_bytes = 0;  // what every rank hears of each grain (one message all to all a step)
};

// Seconds of a step on `ranks`: the rank with most grains, the report of all grains, the sum, the rest.
double step_seconds(const StepCost& cost, const Topology& topology, SumForm form, int ranks);
// Samples a second and rank, in units of one rank's: strong T(1) / (P T(P)), weak T(1) / T(P).
double predicted_efficiency(const StepCost& cost, const Topology& topology, SumForm form, int ranks);

}  // namespace expunge::stat
