// Cells to tasks: small cells share one array element, so that starting and scheduling cost little beside the
// work.
#pragma once

#include <cstddef>
#include <vector>

#include "cluster/site.hpp"
#include "sweep/sweep.hpp"

namespace expunge::cluster {

struct Task {
  std::vector<std::size_t> cells;  // indices into the plan
  double seconds = 0;              // estimated
};

struct Packing {
  std::vector<Task> tasks;
  std::vector<std::size_t> left;  // cells that fit into no task: the site allows too few, and no requeue
};

// Estimated seconds of a cell (its method, evaluation and overhead) or of an original on one group of ranks
// of a task.
double cell_seconds(const sweep::Plan& plan, std::size_t cell, const Site& site);
double original_seconds(const sweep::Plan& plan, std::size_t original, const Site& site);

// Ranks of a task that work on one cell, and how many such groups a task has.
std::int64_t group_ranks(const sweep::Plan& plan, const Site& site);
std::int64_t groups_of(const sweep::Plan& plan, const Site& site);

// Cells of one original stay together. A task takes about `tasks.minutes`, never more than its time limit
// leaves, but at least one cell a group; where that makes more than `most_tasks`, tasks grow, beyond the time
// limit only where they may requeue themselves.
Packing pack_cells(const sweep::Plan& plan, std::vector<std::size_t> cells, const Site& site,
                   std::size_t most_tasks);

}  // namespace expunge::cluster
