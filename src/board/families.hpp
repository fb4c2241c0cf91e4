// A leaderboard by kinds of methods: entries of one family taken together.
#pragma once

#include <functional>
#include <string>

#include "board/leaderboard.hpp"

namespace expunge::board {

// For each group of the leaderboard and each family the mean of its methods' means, short columns, aligned
// for a terminal. `title`: what families are of. Methods without a family ("") and retrain are left out.
std::string render_families(const Leaderboard& leaderboard, const std::string& title,
                            const std::function<std::string(const std::string& method)>& family_of);

}  // namespace expunge::board
