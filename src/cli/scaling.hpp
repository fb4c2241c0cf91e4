// What `expunge scale` measured, and what follows from it: shares, efficiencies with intervals over launches,
// the model's prediction, and how all of it is shown.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "stat/intervals.hpp"
#include "stat/scaling_model.hpp"

namespace expunge::cli {

// (ranks, threads of a rank; 0: the job's).
using Setting = std::pair<int, int>;

struct ScalingMeasurement {
  std::string sweep;
  bool weak = false;
  int cpus = 1;  // that the ranks may use
  // The lines that ranks printed (engine/scale_probe.cpp), one a launch, in order of launches.
  std::map<Setting, std::vector<nlohmann::json>> launches;
  stat::Link network;      // between nodes, assumed
  int ranks_per_node = 1;  // assumed
};

// One number of ranks (or threads), over launches. Shares are of the step, means over launches.
struct ScalingRow {
  int ranks = 1, threads = 1;
  double step_s = 0, samples_per_s = 0;  // medians over launches
  double compute = 0, input = 0, imbalance = 0, communication = 0;
  stat::Interval efficiency;    // samples a second and rank, in units of one rank's of the same launch
  double against_best = 0;      // samples a second, in units of the best single process's
  bool oversubscribed = false;  // more ranks than CPUs
};

struct ScalingPrediction {
  int ranks = 1;
  double tree = 0, ring = 0, hierarchical = 0;  // efficiencies
};

struct ScalingResult {
  std::vector<ScalingRow> rows;  // one rank with other threads first, then by ranks
  Setting best_single;           // ranks 1 and its threads
  stat::LinkFit fit;             // inside a node; count 0: nothing to fit, and then no prediction
  std::vector<int> fitted_ranks;
  stat::Topology topology;
  stat::StepCost cost;
  std::vector<ScalingPrediction> predictions;  // powers of two up to 4,096, and what was measured
};

// Setting {1, 0} must be among the launches, and every setting has as many launches as it.
ScalingResult analyse(const ScalingMeasurement& measured);

std::string scaling_text(const ScalingMeasurement& measured, const ScalingResult& result);
std::string scaling_csv(const ScalingMeasurement& measured, const ScalingResult& result);
nlohmann::ordered_json scaling_json(const ScalingMeasurement& measured, const ScalingResult& result);
std::string scaling_svg(const ScalingMeasurement& measured, const ScalingResult& result);

}  // namespace expunge::cli
