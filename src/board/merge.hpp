// The reducer: from a sweep's folder (plan.json, cells/, failures/) to a board. Every planned cell gets a
// row; nothing is averaged or left out silently.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "board/board.hpp"

namespace expunge::board {

struct Merge {
  Board board;
  // One line for people per problem: failed, missing, corrupt, foreign, duplicate, conflict, unfinished.
  std::map<std::string, std::vector<std::string>> problems;
  std::vector<std::size_t> again;  // indices, in the plan's order, of the cells without a result
};

// DataError 66 or 65 for the plan. `readers` and `index` as for scan_stores.
Merge merge(const std::filesystem::path& folder, int readers = 0, const std::filesystem::path& index = {});

// Where `reduce` keeps what it has read: OUT/SWEEP/board.index.
inline std::filesystem::path index_path(const std::filesystem::path& folder) {
  return folder / "board.index";
}

// The problems, at most 20 lines a class, and the closing `merged 31 of 32; failed 1; corrupt 0; foreign 0;
// missing 0`.
std::string report(const Merge& merge);

}  // namespace expunge::board
