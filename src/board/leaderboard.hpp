// The leaderboard: the rows of a board grouped over seeds. Only cells with status ok are averaged, and of
// them only finite values; the others are counted and shown.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "board/board.hpp"
#include "stat/bootstrap.hpp"
#include "stat/intervals.hpp"

namespace expunge::board {

struct LeaderboardColumn {
  std::string name, title, help;
  int better = 0;        // +1 higher, -1 lower, 0 neither
  bool percent = false;  // a fraction, shown in percent
  bool gap = false;      // a difference from retrain: the smaller its absolute value the better
  bool narrow = false;   // part of the short views (terminal, Markdown)
};

// From this many values on an interval is BCa's, by bootstrap; below it Student's t.
inline constexpr std::int64_t kBootstrapFrom = 50;

// A mean with its 95 % interval; low and high are NaN where it is unknown (one value).
struct Estimate : stat::Interval {
  stat::Bounds bounds;
  bool bootstrap = false;
};

// One method on one data set, model and ratio. Intervals are over the cells where the value is defined.
struct Entry {
  std::string method;
  std::vector<const Row*> cells;  // by key; they live in the board
  std::size_t ok = 0, diverged = 0, budget = 0, failed = 0,
              missing = 0;           // missing: no usable store (corrupt, foreign) either
  std::vector<Estimate> values;      // one per column
  std::vector<bool> best;            // one per column; never for retrain
  bool slower_than_retrain = false;  // unlearning took longer on average than retraining did (methods.md 5.6)
};

struct Group {
  std::string dataset, model;
  double ratio = 0;
  std::vector<Entry> entries;  // retrain first, then by name
};

// Columns: those of the board, then `average` (MultiDelete's mean of D_test and AUC), `unlearn_seconds` and,
// as `gap_NAME`, the differences from retrain of the same seed and original in test, forget and retain
// accuracy.
struct Leaderboard {
  const Board* board = nullptr;  // must outlive this
  std::vector<LeaderboardColumn> columns;
  std::vector<Group> groups;  // by data set, model, ratio
};

Leaderboard make_leaderboard(const Board& board);

// Where a column stands; nothing when the leaderboard has none of this name.
std::optional<std::size_t> column_at(const Leaderboard& leaderboard, const std::string& name);

// A column's value of one cell; NaN unless the cell is ok and the value finite.
double cell_value(const Leaderboard& leaderboard, const Group& group, const Row& row, std::size_t column);

// How good a value is in its column; higher is better. 0 for columns that are neither.
double merit(const LeaderboardColumn& column, double value);

}  // namespace expunge::board
