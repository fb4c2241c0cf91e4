// What of a sweep goes to the scheduler, cut into jobs: arrays of originals, arrays of packed cells, the
// reducer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/site.hpp"
#include "cluster/state.hpp"
#include "cluster/submission.hpp"
#include "sweep/sweep.hpp"

namespace expunge::cluster {

// Indices into the plan. Originals: those that the cells need, that are not there and that nobody works on.
struct Choice {
  std::vector<std::size_t> cells, originals;
};

// Cells that are missing; `again`: also those that failed, timed out or are damaged.
Choice choose(const sweep::Plan& plan, const SweepState& state, bool again);

struct Chunking {
  std::vector<Chunk> chunks;  // originals, cells, reduce
  std::size_t cells = 0;      // in them
  std::size_t left = 0;       // that the site does not allow at once
  std::string text;           // both, for people
};

// No array has more than `array_size` tasks, and all of them with the `in_queue` elements that are there no
// more than the site allows. SchedulerError when it allows none.
Chunking make_chunks(const sweep::Plan& plan, const Site& site, const Choice& choice, std::int64_t array_size,
                     std::size_t in_queue);

// "40 tasks, 200 cells".
std::string size_text(const Chunk& chunk);

}  // namespace expunge::cluster
