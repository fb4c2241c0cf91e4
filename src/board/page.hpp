// The fixed parts of the HTML leaderboard: its style sheet and its script (sorting, filters, theme, the
// drawer with a cell's provenance; tables and pictures are there without it).
#pragma once

namespace expunge::board {

extern const char* const kStyleSheet;
extern const char* const kScript;

}  // namespace expunge::board
