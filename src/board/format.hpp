// How numbers of a leaderboard look to people.
#pragma once

#include <string>
#include <vector>

#include "board/leaderboard.hpp"

namespace expunge::board {

std::string shown_mean(const LeaderboardColumn& column,
                       const stat::Interval& value);  // "87.5", "+1.2", "1.23 T", "-"
std::string shown_interval(const LeaderboardColumn& column,
                           const stat::Interval& value);  // "±0.4", or "" where undefined
// Whether a table of limited width shows intervals: they are worth it for results, not for costs and
// differences.
bool with_interval(const LeaderboardColumn& column);
std::string shown_cells(const Entry& entry);   // "2/2", "1/3 (1 failed, slower than retrain)"
std::string shown_group(const Group& group);   // "fashion_mnist · resnet8 · ratio 0.1"
std::string shown_counts(const Board& board);  // "31 of 32 cells; failed 1"

// Columns of the short views that are defined anywhere on the board, in the order of the board.
std::vector<std::size_t> short_columns(const Leaderboard& leaderboard);

// Columns that a text fills on a terminal, and the text filled up to so many.
std::size_t shown_width(const std::string& text);
std::string padded(const std::string& text, std::size_t to, bool right);
// A table in lines: the first column stands left, the others right, the last as it is.
std::string aligned(const std::vector<std::vector<std::string>>& table);

// A field of a file of comma-separated values (RFC 4180): quoted where it has to be.
std::string csv_field(const std::string& text);

// The sentence under a table that explains its signs.
extern const char* const kLegend;

}  // namespace expunge::board
