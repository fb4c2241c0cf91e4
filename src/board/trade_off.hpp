// The trade-off of a group as an SVG picture: accuracy on D_f (across) against accuracy on D_test (up), one
// disc a method, its area growing with the FLOPs of unlearning.
#pragma once

#include <string>

#include "board/leaderboard.hpp"

namespace expunge::board {

// Empty when fewer than two methods have both accuracies. Colours come from the page's style sheet.
std::string trade_off_svg(const Leaderboard& leaderboard, const Group& group);

std::string html_text(const std::string& text);  // with <, >, &, " escaped

}  // namespace expunge::board
