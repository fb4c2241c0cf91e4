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

// From this many values on an interval is BCa's, by bootstrap; else Student's t.
inline constexpr std::int64_t kBootstrapFrom = 50;
// And up to so many: there both agree, and resampling would take hours and gigabytes.
inline constexpr std::int64_t kBootstrapUpTo = 5000;

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
  std::string over;            // of joined groups (board/joined.hpp): what was joined
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

// A column's values of a group's cells; NaN unless the cell is ok and the value finite.
class GroupValues {
 public:
  GroupValues(const Leaderboard& leaderboard, const Group& group);  // which must outlive this
  double at(const Row& row, std::size_t column) const;

 private:
  friend Leaderboard make_leaderboard(const Board& board);
  // Where the derived columns' sources stand.
  struct Sources {
    explicit Sources(const Board& board);
    std::size_t columns;
    std::optional<std::size_t> test, auc, seconds;
    std::vector<std::optional<std::size_t>> gaps;
  };
  GroupValues(const Sources& sources, const std::vector<Entry>& entries);
  const Row* retrain_of(const Row& row) const;

  Sources sources_;
  std::vector<const Row*> retrained_;  // by seed and original
};

// Marks the best entries of every column.
void mark_best(const std::vector<LeaderboardColumn>& columns, Group& group);

// How good a value is in its column; higher is better. 0 for columns that are neither.
double merit(const LeaderboardColumn& column, double value);

}  // namespace expunge::board
