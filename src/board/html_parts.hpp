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

// A group's table and trade-off plot. `entry` numbers entries over the page, as html_data does, and is moved
// on. `all_columns`: every defined column, not the short ones only.
std::string html_group(const Leaderboard& leaderboard, const Group& group, const MethodClasses& classes,
                       bool all_columns, std::size_t& entry);

// Accuracies against the deletion ratio for every data set and model with several ratios. `hover`: with the
// numbers of every dot.
std::string html_curves(const Leaderboard& leaderboard, const MethodClasses& classes, bool hover);

// What the drawer shows, as JSON that may stand inside <script>: cells by entry, settings as differences from
// the most frequent value of each key.
std::string html_data(const Leaderboard& leaderboard);

}  // namespace expunge::board
