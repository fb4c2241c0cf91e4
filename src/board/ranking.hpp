// Methods compared over the cells that all of them have: average ranks with intervals, Friedman's test,
// pairwise tests with Holm's adjustment, tie groups and a win/tie/loss matrix. retrain is the reference and
// takes no part.
//
// Common cells are those (data set, model, ratio, seed, original) in which every ranked method has a defined
// value. A method that lacks more than half of the board's cells is not ranked, so that it does not take the
// others' cells away; it is listed with what it has. With at least kGroupsWorthABlock groups a block is a
// group (data set, model, ratio), its value the mean over common seeds; with fewer a block is a cell, and
// p-values speak about more seeds of these very settings only.
#pragma once

#include <string>
#include <vector>

#include "board/leaderboard.hpp"
#include "stat/ranking.hpp"

namespace expunge::board {

inline constexpr std::size_t kGroupsWorthABlock = 6;
inline constexpr double kAlpha = 0.05;

struct Place {
  std::string method;
  double rank = 0;              // average over blocks, 1 = best
  stat::RankInterval interval;  // 95 %
  double mean = 0;              // of the column's values over blocks, not of merits
  std::size_t cells = 0;        // with a value, of Ranking::planned
  std::string ties;             // letters of the tie groups it is in: "a", "ab"
};

struct Unranked {
  std::string method, reason;
};

// Method i against method j over the blocks, i and j being positions in Ranking::places.
struct Pair {
  std::size_t wins = 0, ties = 0, losses = 0;
  double difference = 0;   // mean of i - j in the column's values
  stat::Bounds bounds;     // 95 %: BCa from kBootstrapFrom to kBootstrapUpTo blocks, else Student's t
  double p = 0, holm = 0;  // signed-rank test; adjusted over all pairs
};

struct Ranking {
  std::size_t column = 0;
  std::vector<Place> places;  // by rank, then by name
  std::vector<Unranked> unranked;
  std::size_t planned = 0;  // cells (data set, model, ratio, seed, original) of the board
  std::size_t common = 0;   // of these, in which every ranked method has a value
  std::size_t blocks = 0;
  bool by_group = false;  // what a block is
  stat::Friedman friedman{};
  std::vector<Pair> pairs;  // [n, n]; the diagonal is empty
  std::vector<stat::Run> runs;
  std::string problem;  // why there is no ranking; empty otherwise
  const Pair& pair(std::size_t i, std::size_t j) const { return pairs[i * places.size() + j]; }
};

Ranking rank_methods(const Leaderboard& leaderboard, std::size_t column);

// Columns worth a ranking: directed or gaps, defined for at least two methods; the primary one first.
// `wanted`, if given, is put first: UsageError when the board has no such column or it has no direction.
std::vector<std::size_t> ranking_columns(const Leaderboard& leaderboard, const std::string& wanted = "");

// Header and a line a place: method, average rank, its interval, places, mean, tie groups, cells.
std::vector<std::vector<std::string>> ranking_table(const Leaderboard& leaderboard, const Ranking& ranking);

// "ranked on 14 of 16 cells, 7 blocks ...": what a reader has to know beside the table, a sentence each.
std::vector<std::string> ranking_notes(const Leaderboard& leaderboard, const Ranking& ranking);

}  // namespace expunge::board
