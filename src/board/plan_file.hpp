// plan.json of a sweep's folder, as far as the reducer needs it: which cells there should be.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace expunge::board {

struct PlannedCell {
  std::string id, key, dataset, model, method, original_id;
  double ratio = 0;
  std::int64_t seed = 0;
};

struct SweepPlan {
  std::string name, file, sha256;
  std::vector<std::string> row_names;
  std::vector<PlannedCell> cells;  // in the plan's order: the indices that `run --cells` takes
};

// DataError 66 when there is no such file, 65 with the place when it is not a plan.
SweepPlan read_plan(const std::filesystem::path& path);

}  // namespace expunge::board
