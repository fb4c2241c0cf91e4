// Comparisons of several methods over common blocks: average ranks, Friedman's test, rank intervals by
// bootstrap, pairwise signed-rank tests with Holm's adjustment, tie groups (Demsar 2006; Benavoli et al.
// 2016). Pure functions. Merits: higher is better.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/rng.hpp"
#include "stat/bootstrap.hpp"

namespace expunge::stat {

// Ranks of one block, 1 = the highest merit, ties their mean rank.
std::vector<double> descending_ranks(std::span<const double> merits);

// merits: [blocks, methods], row-major, all finite. Column means of the blocks' ranks.
std::vector<double> average_ranks(std::span<const double> merits, std::size_t methods);

struct Friedman {
  double statistic, p;  // chi-squared with methods - 1 degrees of freedom, corrected for ties
  double f, f_p;        // Iman and Davenport's F form; +inf and 0 when every block ranks alike
};
// NaN when fewer than 2 blocks or 3 methods, or when all blocks are ties throughout.
Friedman friedman(std::span<const double> merits, std::size_t methods);

// For each method the share-interval of its average rank, and of its place (1 = best, ties their mean), over
// resamples of the blocks. NaN below two blocks.
struct RankInterval {
  Bounds rank, place;
};
std::vector<RankInterval> rank_intervals(std::span<const double> merits, std::size_t methods, double level,
                                         std::int64_t resamples, const Rng& rng);

// Wilcoxon's signed-rank test, two-sided; zero differences are left out (Wilcoxon's rule). Exact without ties
// among at most 50 absolute differences, else normal with tie correction and no continuity correction. p = 1
// when all are zero, NaN when empty or not finite.
struct SignedRank {
  double statistic, p;  // the smaller of the two rank sums
  bool exact;
};
SignedRank signed_rank(std::span<const double> differences);

// Student's test that the mean difference is 0; p = 1 when all differences are 0, NaN below two values.
double paired_t(std::span<const double> differences);

// Holm's step-down adjustment (1979); NaN stays NaN and counts for nothing.
std::vector<double> holm(std::span<const double> p);

// Maximal runs of neighbours in `order` no two members of which differ (differ[i * n + j]); runs of one are
// left out unless nothing longer covers the method. Each run is (first, last) positions in `order`.
struct Run {
  std::size_t first, last;
};
std::vector<Run> tie_groups(const std::vector<std::size_t>& order, const std::vector<bool>& differ);

}  // namespace expunge::stat
