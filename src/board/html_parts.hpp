// The parts that render_html puts together; not for others.
#pragma once

#include <string>
#include <vector>

#include "board/leaderboard.hpp"
#include "board/plots.hpp"
#include "board/ranking.hpp"

namespace expunge::board {

// Ranking tables with plots, notes and the win/tie/loss matrix; the first one open.
std::string html_rankings(const Leaderboard& leaderboard, const std::vector<Ranking>& rankings,
                          const MethodClasses& classes);

// How much of a board its page shows.
struct Detail {
  bool all_columns = true;  // every defined column, not the short ones only; numbers beside the curves' dots
  bool cells = true;        // cells by entry, in the drawer that a method's name opens
  bool trade_offs = true;   // a plot a group
  bool dots = true;         // on curves; else lines
  bool curves = true;
};

// A group's table and trade-off plot. `entry` numbers entries over the page, as html_data does, and is moved
// on.
std::string html_group(const Leaderboard& leaderboard, const Group& group, const MethodClasses& classes,
                       const Detail& detail, std::size_t& entry);

// Accuracies against the deletion ratio for every data set and model with several ratios.
std::string html_curves(const Leaderboard& leaderboard, const MethodClasses& classes, const Detail& detail);

// What the drawer shows, as JSON that may stand inside <script>: cells by entry, settings as differences from
// the most frequent value of each key.
std::string html_data(const Leaderboard& leaderboard, bool with_cells);

}  // namespace expunge::board
