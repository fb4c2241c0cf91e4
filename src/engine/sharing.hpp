// Several ranks on one GPU, each with cells of its own: how many of them shall work at the same time. More
// hide the gaps in which one leaves the GPU idle, until they get in each other's way or memory is short.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "engine/workbench.hpp"

namespace expunge {

// What so many ranks on every GPU reached together.
struct SharingTrial {
  int ranks = 1;
  double samples_per_s = 0;  // of all ranks; 0: they did not all get through, for want of memory
};

// The fewest ranks that come within a twentieth of the best; 1 without trials.
int best_sharing(const std::vector<SharingTrial>& trials);

// The place of each rank among those with the same device, in the order of ranks, from 0.
std::vector<int> places_on_devices(const std::vector<std::string>& devices);

// Collective. Tries 1, 2, 4 ... ranks on a device, up to `most`, and returns the best number, the same on all
// ranks. `rate`: samples a second of this rank's own steps, or 0 when memory ran out; called while the ranks
// with lower places on the same device do the same. `free_share`: of this rank's device's memory; no more
// ranks are tried where the next trial would not leave a tenth.
int calibrate_sharing(comm::Communicator& world, int place, int most, const std::function<double()>& rate,
                      const std::function<double()>& free_share);

// Samples a second of steps of this original's training, on this rank by itself (engine/scale_probe.cpp).
double step_rate(Workbench& bench, const sweep::Original& original, std::int64_t steps);

}  // namespace expunge
