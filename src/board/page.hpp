// The fixed parts of the HTML leaderboard: its style sheet and its script (sorting only; everything else
// works without it).
#pragma once

namespace expunge::board {

extern const char* const kStyleSheet;
extern const char* const kScript;

}  // namespace expunge::board
