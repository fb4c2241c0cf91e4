// The leaderboard: the rows of a board grouped over seeds. Only cells with status ok are averaged; the others
// are counted and shown.
#pragma once

#include <string>
#include <vector>

#include "board/board.hpp"
#include "stat/intervals.hpp"

namespace expunge::board {

struct LeaderboardColumn {
  std::string name, title, help;
  int better = 0;        // +1 higher, -1 lower, 0 neither
  bool percent = false;  // a fraction, shown in percent
  bool gap = false;      // a difference from retrain: the smaller its absolute value the better
  bool narrow = false;   // part of the short views (terminal, Markdown)
};

// One method on one data set, model and ratio. A mean's interval is Student's, 95 %, over the seeds where the
// value is defined.
struct Entry {
  std::string method;
  std::vector<const Row*> cells;  // by key; they live in the board
  std::size_t ok = 0, diverged = 0, budget = 0, failed = 0,
              missing = 0;             // missing: no usable store (corrupt, foreign) either
  std::vector<stat::Interval> values;  // one per column
  std::vector<bool> best;              // one per column; never for retrain
};

struct Group {
  std::string dataset, model;
  double ratio = 0;
  std::vector<Entry> entries;  // retrain first, then by name
};

// Columns: those of the board, then `unlearn_seconds` and, as `gap_NAME`, the differences from retrain of the
// same seed in test, forget and retain accuracy.
struct Leaderboard {
  const Board* board = nullptr;  // must outlive this
  std::vector<LeaderboardColumn> columns;
  std::vector<Group> groups;  // by data set, model, ratio
};

Leaderboard make_leaderboard(const Board& board);

}  // namespace expunge::board
