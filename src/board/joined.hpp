// What a page shows of a large board: its groups joined until their tables fit.
#pragma once

#include <string>

#include "board/leaderboard.hpp"

namespace expunge::board {

// Bytes that a page takes for the tables of all groups, with so many columns; a little more than it is.
std::size_t table_bytes(const Leaderboard& leaderboard, std::size_t columns);

// The leaderboard with its groups joined over ratios, over ratios and models, or over all three, as little as
// it takes for table_bytes to be at most `most` (or all). A joined value is the mean of its groups' means,
// without an interval: groups are no draws of one quantity. Of groups that stay apart nothing changes.
struct Joined {
  Leaderboard leaderboard;
  std::string over;  // "ratios", "ratios and models", "ratios, models and data sets"; empty: nothing
};
Joined joined_to_fit(const Leaderboard& leaderboard, std::size_t columns, std::size_t most);

}  // namespace expunge::board
