// How `expunge scale` shows what it found: tables, CSV, JSON, a picture.
#include <fmt/format.h>

#include <cmath>

#include "board/efficiency_plot.hpp"
#include "cli/scaling.hpp"
#include "cli/table.hpp"
#include "core/counted.hpp"
#include "core/text.hpp"

namespace expunge::cli {
namespace {

std::string percent(double share) { return fmt::format("{:.1f}", 100 * share); }

std::string half_width(const stat::Interval& interval) {
  return std::isfinite(interval.half_width) ? percent(interval.half_width) : "-";
}

const nlohmann::json& first_launch(const ScalingMeasurement& measured) {
  return measured.launches.at({1, 0}).front();
}

std::string headline(const ScalingMeasurement& measured) {
  const auto& one = first_launch(measured);
  return fmt::format(
      "{}: {}, {} scaling, {} samples a step{} in grains of {}, {} steps, {} launch{}, {}, transport "
      "{}\n",
      measured.sweep, one.at("what").get<std::string>(), measured.weak ? "weak" : "strong",
      one.at("samples").get<std::int64_t>(), measured.weak ? " and rank" : "",
      one.at("grain").get<std::int64_t>(), one.at("steps").get<std::int64_t>(),
      measured.launches.at({1, 0}).size(), measured.launches.at({1, 0}).size() == 1 ? "" : "es",
      counted(measured.cpus, "CPU"),
      measured.launches.rbegin()->second.front().at("transport").get<std::string>());
}

std::string measured_table(const ScalingMeasurement& measured, const ScalingResult& result) {
  std::vector<std::vector<std::string>> rows{{"ranks", "threads", "step ms", "samples/s", "compute %",
                                              "input %", "imbalance %", "communication %", "efficiency %",
                                              "+-95", "x best process", ""}};
  for (const auto& r : result.rows)
    rows.push_back({std::to_string(r.ranks), std::to_string(r.threads), fmt::format("{:.2f}", r.step_s * 1e3),
                    fmt::format("{:.1f}", r.samples_per_s), percent(r.compute), percent(r.input),
                    percent(r.imbalance), percent(r.communication), percent(r.efficiency.mean),
                    half_width(r.efficiency), fmt::format("{:.2f}", r.against_best),
                    r.oversubscribed ? "more than CPUs" : ""});
  return text_table(rows) +
         fmt::format(
             "best single process: {}; efficiency: samples a second and rank, one rank's being "
             "100 %, {}\n",
             counted(result.best_single.second, "thread"),
             measured.launches.at({1, 0}).size() > 1 ? "mean over launches with its 95 % interval"
                                                     : "of one launch, so without an interval");
}

std::string link_text(const stat::Link& link) {
  return fmt::format("{:.3g} us and {} a message", link.latency * 1e6,
                     link.per_byte > 0 ? fmt::format("{:.3g} GB/s", 1e-9 / link.per_byte)
                                       : std::string("no time for its bytes"));
}

std::string assumptions(const ScalingMeasurement& measured, const ScalingResult& result) {
  const auto& cost = result.cost;
  std::vector<std::string> ranks;
  for (const int r : result.fitted_ranks) ranks.push_back(std::to_string(r));
  return fmt::format(
      "measured: {:.3f} ms a grain with {} cores at work ({:.3f} ms with one), {:.3f} ms after the sum, {} a "
      "sum, {}{}\n"
      "fitted:   inside a node {}, additions included, to {} ordered sums on {} ranks (largest error {} %)\n"
      "assumed:  across nodes {} (--network), {} a node that share one connection (--ranks-per-node); "
      "messages do not overlap with compute; no rank is late; {}\n",
      cost.grain_s * 1e3, result.fitted_ranks.back(), cost.grain_alone_s * 1e3, cost.fixed_s * 1e3,
      human_bytes(cost.sum_bytes), counted(cost.grains, "grain"), cost.weak ? " a rank" : "",
      link_text(result.fit.link), result.fit.count, join(ranks, ", "),
      fmt::format("{:.0f}", 100 * result.fit.worst), link_text(measured.network),
      counted(measured.ranks_per_node, "rank"),
      cost.weak ? "input is as fast for any number of ranks"
                : "ranks beyond the grains of a step have nothing to do");
}

std::string predicted_table(const ScalingMeasurement& measured, const ScalingResult& result) {
  if (result.predictions.empty())
    return "no prediction: it needs a measurement on two ranks or more with a CPU each\n";
  std::vector<std::vector<std::string>> rows{
      {"ranks", "measured %", "+-95", "ring %", "tree %", "hierarchical %"}};
  for (const auto& p : result.predictions) {
    std::vector<std::string> row{std::to_string(p.ranks), "-", "-"};
    for (const auto& r : result.rows)
      if (r.ranks == p.ranks && (p.ranks > 1 || r.efficiency.mean == 1))
        row[1] = percent(r.efficiency.mean), row[2] = half_width(r.efficiency);
    for (const double share : {p.ring, p.tree, p.hierarchical}) row.push_back(percent(share));
    rows.push_back(row);
  }
  return "\npredicted efficiency, by the form of the ordered sum (ring: what the program does on one node; "
         "hierarchical: on several)\n" +
         assumptions(measured, result) + text_table(rows);
}

}  // namespace

std::string scaling_text(const ScalingMeasurement& measured, const ScalingResult& result) {
  return headline(measured) + measured_table(measured, result) + predicted_table(measured, result);
}

std::string scaling_csv(const ScalingMeasurement& measured, const ScalingResult& result) {
  std::string out =
      "kind,mode,ranks,threads,step_s,samples_per_s,compute,input,imbalance,communication,efficiency,"
      "efficiency_half_width,against_best_process\n";
  const char* mode = measured.weak ? "weak" : "strong";
  const auto number = [](double v) { return std::isfinite(v) ? fmt::format("{:.9g}", v) : std::string(); };
  for (const auto& r : result.rows)
    out += fmt::format("measured,{},{},{},{},{},{},{},{},{},{},{},{}\n", mode, r.ranks, r.threads,
                       number(r.step_s), number(r.samples_per_s), number(r.compute), number(r.input),
                       number(r.imbalance), number(r.communication), number(r.efficiency.mean),
                       number(r.efficiency.half_width), number(r.against_best));
  for (const auto& p : result.predictions)
    for (const auto& [name, share] :
         {std::pair{"tree", p.tree}, {"ring", p.ring}, {"hierarchical", p.hierarchical}})
      out += fmt::format("{},{},{},,,,,,,,{},,\n", name, mode, p.ranks, number(share));
  return out;
}

nlohmann::ordered_json scaling_json(const ScalingMeasurement& measured, const ScalingResult& result) {
  using Json = nlohmann::ordered_json;
  Json out{{"sweep", measured.sweep}, {"mode", measured.weak ? "weak" : "strong"}, {"cpus", measured.cpus}};
  out["measured"] = Json::array();
  for (const auto& r : result.rows)
    out["measured"].push_back({{"ranks", r.ranks},
                               {"threads", r.threads},
                               {"step_s", r.step_s},
                               {"samples_per_s", r.samples_per_s},
                               {"compute", r.compute},
                               {"input", r.input},
                               {"imbalance", r.imbalance},
                               {"communication", r.communication},
                               {"efficiency", r.efficiency.mean},
                               {"efficiency_half_width", r.efficiency.half_width},
                               {"against_best_process", r.against_best},
                               {"oversubscribed", r.oversubscribed}});
  out["predicted"] = Json::array();
  for (const auto& p : result.predictions)
    out["predicted"].push_back(
        {{"ranks", p.ranks}, {"tree", p.tree}, {"ring", p.ring}, {"hierarchical", p.hierarchical}});
  if (!result.predictions.empty())
    out["assumptions"] = {{"grain_s", result.cost.grain_s},
                          {"grain_alone_s", result.cost.grain_alone_s},
                          {"fixed_s", result.cost.fixed_s},
                          {"grains", result.cost.grains},
                          {"sum_bytes", result.cost.sum_bytes},
                          {"report_bytes", result.cost.report_bytes},
                          {"inside_latency_s", result.fit.link.latency},
                          {"inside_seconds_per_byte", result.fit.link.per_byte},
                          {"fit_timings", result.fit.count},
                          {"fit_largest_error", result.fit.worst},
                          {"network_latency_s", measured.network.latency},
                          {"network_seconds_per_byte", measured.network.per_byte},
                          {"ranks_per_node", measured.ranks_per_node}};
  out["launches"] = Json::array();
  for (const auto& [setting, launches] : measured.launches)
    for (const auto& launch : launches) out["launches"].push_back(Json(launch));
  return out;
}

std::string scaling_svg(const ScalingMeasurement& measured, const ScalingResult& result) {
  std::vector<board::EfficiencySeries> series;
  board::EfficiencySeries points{"measured", true, {}};
  for (const auto& r : result.rows)
    if (r.ranks > 1 || r.efficiency.mean == 1)
      points.points.push_back(
          {r.ranks, r.efficiency.mean, std::isfinite(r.efficiency.half_width) ? r.efficiency.half_width : 0});
  series.push_back(points);
  board::EfficiencySeries ring{"ring", false, {}}, tree{"tree", false, {}}, both{"hierarchical", false, {}};
  for (const auto& p : result.predictions) {
    ring.points.push_back({p.ranks, p.ring, 0});
    tree.points.push_back({p.ranks, p.tree, 0});
    both.points.push_back({p.ranks, p.hierarchical, 0});
  }
  if (!result.predictions.empty()) series.insert(series.end(), {ring, tree, both});
  return board::efficiency_svg(
      fmt::format("{}: {} scaling", measured.sweep, measured.weak ? "weak" : "strong"), series);
}

}  // namespace expunge::cli
