// The leaderboard's pictures as SVG elements. Pure functions; an empty text where there is nothing to show.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "board/leaderboard.hpp"
#include "board/ranking.hpp"

namespace expunge::board {

// Which colour a method has: the same in all pictures of a board. retrain is "ref".
using MethodClasses = std::map<std::string, std::string>;
MethodClasses method_classes(const Leaderboard& leaderboard);

// Accuracy on D_f (across) against accuracy on D_test (up), one disc a method, its area growing with the
// FLOPs of unlearning, with the Pareto front: methods that no other beats both in D_test and in closeness of
// D_f to retrain's (to the least D_f without retrain). Empty when fewer than two methods have both
// accuracies.
std::string trade_off_svg(const Leaderboard& leaderboard, const Group& group, const MethodClasses& classes);

// Average ranks with their intervals, best on top, and a bar for every tie group.
std::string rank_svg(const Leaderboard& leaderboard, const Ranking& ranking, const MethodClasses& classes);

// A column against the deletion ratio, one line a method, for one data set and model; error bars are the
// means' intervals, dots their means; without `dots` lines alone. Empty with fewer than two ratios.
std::string ratio_svg(const Leaderboard& leaderboard, const std::string& dataset, const std::string& model,
                      std::size_t column, const MethodClasses& classes, bool dots = true);

// Every picture of a board under a name for a file: "rank-overall", "trade-off-DATASET-MODEL-RATIO", ...
struct Picture {
  std::string name, svg;
};
std::vector<Picture> pictures(const Leaderboard& leaderboard, const std::vector<Ranking>& rankings);

}  // namespace expunge::board
