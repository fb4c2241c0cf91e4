#include "engine/sharing.hpp"

#include <algorithm>
#include <map>

#include "core/log.hpp"

namespace expunge {
namespace {

constexpr double kGoodEnough = 0.95;  // of the best rate
constexpr double kSpare = 0.1;        // of a device's memory

}  // namespace

int best_sharing(const std::vector<SharingTrial>& trials) {
  double best = 0;
  for (const auto& trial : trials) best = std::max(best, trial.samples_per_s);
  for (const auto& trial : trials)
    if (best > 0 && trial.samples_per_s >= kGoodEnough * best) return trial.ranks;
  return 1;
}

std::vector<int> places_on_devices(const std::vector<std::string>& devices) {
  std::map<std::string, int> taken;
  std::vector<int> out;
  for (const auto& device : devices) out.push_back(taken[device]++);
  return out;
}

int calibrate_sharing(comm::Communicator& world, int place, int most, const std::function<double()>& rate,
                      const std::function<double()>& free_share) {
  std::vector<SharingTrial> trials;
  double free_before = 1;
  for (int ranks = 1; ranks <= most; ranks *= 2) {
    const bool works = place < ranks;
    world.barrier();
    double mine = 0;
    world.together([&] {
      if (works) mine = rate();
    });
    struct Report {
      double rate, free;
      int failed;
    };
    SharingTrial trial{ranks, 0};
    double free = 1;
    bool failed = false;
    for (const auto& report : world.all_gather_value(Report{mine, free_share(), works && mine <= 0})) {
      trial.samples_per_s += report.rate;
      free = std::min(free, report.free);
      failed |= report.failed != 0;
    }
    if (failed) trial.samples_per_s = 0;
    trials.push_back(trial);
    if (world.rank() == 0)
      log::info("{} at a time: {:.1f} samples/s, {:.0f} % of its memory free", ranks, trial.samples_per_s,
                100 * free);
    // Twice the ranks take about as much again as all of them took so far.
    if (failed || free - std::max(0.0, free_before - free) * (ranks == 1 ? 1 : 2) < kSpare) break;
    free_before = free;
  }
  return best_sharing(trials);
}

}  // namespace expunge
