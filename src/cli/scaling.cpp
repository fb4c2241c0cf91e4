#include "cli/scaling.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.hpp"
#include "core/median.hpp"

namespace expunge::cli {
namespace {

using nlohmann::json;

constexpr int kPredictedRanks = 4096;

std::vector<double> values(const std::vector<json>& launches, const char* key) {
  std::vector<double> out;
  for (const auto& launch : launches) out.push_back(launch.at(key).get<double>());
  return out;
}

double mean_of(const std::vector<json>& launches, const char* key) {
  return stat::mean(values(launches, key));
}

ScalingRow row_of(const ScalingMeasurement& measured, const Setting& setting,
                  const std::vector<json>& launches) {
  ScalingRow row;
  row.ranks = setting.first;
  row.threads = launches.front().at("threads").get<int>();
  row.step_s = median(values(launches, "step_s"));
  row.samples_per_s = median(values(launches, "samples_per_s"));
  row.compute = mean_of(launches, "compute"), row.input = mean_of(launches, "input");
  row.imbalance = mean_of(launches, "imbalance"), row.communication = mean_of(launches, "communication");
  const auto& alone = measured.launches.at({1, 0});
  std::vector<double> efficiency;
  for (std::size_t i = 0; i < launches.size(); ++i)
    efficiency.push_back(launches[i].at("samples_per_s").get<double>() /
                         (alone.at(i).at("samples_per_s").get<double>() * row.ranks));
  row.efficiency = stat::t_interval(efficiency);
  row.oversubscribed = row.ranks * row.threads > measured.cpus;
  return row;
}

// The link inside a node, from sums on as many ranks as have a CPU each.
void fit(const ScalingMeasurement& measured, ScalingResult& out) {
  std::vector<stat::SumTiming> timings;
  for (const auto& [setting, launches] : measured.launches) {
    if (setting.first < 2 || setting.first > measured.cpus) continue;
    out.fitted_ranks.push_back(setting.first);
    for (const auto& launch : launches)
      for (const auto& sum : launch.at("sums"))
        timings.push_back({setting.first, sum.at("bytes").get<double>(), sum.at("ordered_s").get<double>()});
  }
  out.fit = stat::fit_link(timings);
}

void predict(const ScalingMeasurement& measured, ScalingResult& out) {
  const auto& alone = measured.launches.at({1, 0});
  // Grains take longer where all cores are at work: the most ranks that have a CPU each count.
  const auto& full = measured.launches.at({out.fitted_ranks.back(), 0});
  out.topology = {out.fit.link, measured.network, measured.ranks_per_node};
  auto& cost = out.cost;
  cost.grain_alone_s = median(values(alone, "grain_s"));
  cost.grain_s = median(values(full, "grain_s"));
  cost.fixed_s = median(values(alone, "fixed_s"));
  cost.grains = alone.front().at("grains").get<std::int64_t>();
  cost.weak = measured.weak;
  cost.sum_bytes = alone.front().at("sum_bytes").get<double>();
  cost.report_bytes = alone.front().at("report_bytes").get<double>();
  std::set<int> ranks;
  for (int r = 1; r <= kPredictedRanks; r *= 2) ranks.insert(r);
  for (const auto& row : out.rows) ranks.insert(row.ranks);
  for (const int r : ranks) {
    const auto of = [&](stat::SumForm form) {
      return stat::predicted_efficiency(cost, out.topology, form, r);
    };
    out.predictions.push_back(
        {r, of(stat::SumForm::kTree), of(stat::SumForm::kRing), of(stat::SumForm::kHierarchical)});
  }
}

}  // namespace

ScalingResult analyse(const ScalingMeasurement& measured) {
  const auto alone = measured.launches.find({1, 0});
  EXPUNGE_CHECK(alone != measured.launches.end() && !alone->second.empty(), "no launch on one rank");
  ScalingResult out;
  double best = 0;
  for (const auto& [setting, launches] : measured.launches) {
    EXPUNGE_CHECK(launches.size() == alone->second.size(), "{} launches on {} ranks, {} on one",
                  launches.size(), setting.first, alone->second.size());
    out.rows.push_back(row_of(measured, setting, launches));
    if (setting.first == 1 && out.rows.back().samples_per_s > best) {
      best = out.rows.back().samples_per_s;
      out.best_single = {1, out.rows.back().threads};
    }
  }
  // Threads beside ranks come first, so that the ranks stand together.
  std::stable_sort(out.rows.begin(), out.rows.end(), [&](const ScalingRow& a, const ScalingRow& b) {
    return std::pair{a.ranks, -a.threads} < std::pair{b.ranks, -b.threads};
  });
  for (auto& row : out.rows) row.against_best = row.samples_per_s / best;
  fit(measured, out);
  if (out.fit.count > 0) predict(measured, out);
  return out;
}

}  // namespace expunge::cli
