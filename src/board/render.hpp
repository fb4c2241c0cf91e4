// A leaderboard as text. All of these are pure functions: the same board gives the same bytes.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "board/leaderboard.hpp"
#include "board/ranking.hpp"

namespace expunge::board {

using Rankings = std::vector<Ranking>;  // the primary one first; may be empty

// Rankings by every column worth one; `primary` as for ranking_columns.
Rankings make_rankings(const Leaderboard& leaderboard, const std::string& primary = "");

std::string render_text(const Leaderboard& leaderboard,
                        const Rankings& rankings = {});  // aligned tables for a terminal
std::string render_markdown(const Leaderboard& leaderboard, const Rankings& rankings = {});
std::string render_latex(const Leaderboard& leaderboard,
                         const Rankings& rankings = {});  // tables for the package booktabs
std::string render_csv(
    const Leaderboard& leaderboard,
    const Rankings& rankings = {});  // one line a group and method; all columns, full precision
std::string render_json(const Leaderboard& leaderboard,
                        const Rankings& rankings = {});  // groups, cells and rankings; all columns
// The same part by part: it has two kilobytes a cell.
using Write = std::function<void(std::string_view)>;
void write_json(const Leaderboard& leaderboard, const Rankings& rankings, const Write& write);
std::string render_html(const Leaderboard& leaderboard,
                        const Rankings& rankings = {});  // one self-contained file

}  // namespace expunge::board
