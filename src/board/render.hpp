// A leaderboard as text. All of these are pure functions: the same board gives the same bytes.
#pragma once

#include <string>

#include "board/leaderboard.hpp"

namespace expunge::board {

std::string render_text(const Leaderboard& leaderboard);  // aligned tables for a terminal
std::string render_markdown(const Leaderboard& leaderboard);
std::string render_csv(
    const Leaderboard& leaderboard);  // one line a group and method; all columns, full precision
std::string render_json(const Leaderboard& leaderboard);  // groups and cells; all columns
std::string render_html(const Leaderboard& leaderboard);  // one self-contained file

}  // namespace expunge::board
