// Deletion capacity (MU-Bench, section 4): the largest ratio of the sweep up to which, for it and every
// smaller one, a method's test accuracy, averaged over seeds, stays within a share kappa of the original's.
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <tuple>

#include "board/study/study.hpp"
#include "stat/intervals.hpp"

namespace expunge::board {
namespace capacity {

struct AtRatio {
  std::vector<double> test, forget, original;
  std::size_t planned = 0;
};

// data set and model, method -> ratio -> values
using Curves = std::map<std::pair<std::string, std::string>, std::map<double, AtRatio>>;

Curves collect(const std::vector<StudySource>& sources, std::size_t& without_original) {
  Curves out;
  for (const auto& source : sources) {
    std::map<std::string, double> originals;
    for (const auto& row : source.board.rows) {
      auto& at = out[{place_text(row), row.cell.method}][row.cell.ratio];
      ++at.planned;
      if (row.status != "ok") continue;
      const auto [found, added] = originals.try_emplace(row.cell.original_id, 0);
      if (added) found->second = original_accuracy(source, row.cell.original_id);
      const double test = value_at(source.board, row, "test_accuracy");
      if (std::isnan(found->second)) ++without_original;
      if (std::isnan(found->second) || std::isnan(test)) continue;
      at.test.push_back(test);
      at.original.push_back(found->second);
      at.forget.push_back(value_at(source.board, row, "forget_accuracy"));
    }
  }
  return out;
}

struct Capacity {
  std::string text;
  double forget = std::nan("");
};

Capacity capacity(const std::map<double, AtRatio>& ratios, double kappa) {
  Capacity out{"0"};
  for (const auto& [ratio, at] : ratios) {
    if (at.test.empty()) {
      out.text += fmt::format(" (no cells at {:g} %)", 100 * ratio);
      return out;
    }
    const double original = stat::mean(at.original);
    if (!((original - stat::mean(at.test)) / original <= kappa)) return out;
    out = {fmt::format("{:g} %", 100 * ratio), stat::mean(at.forget)};
  }
  out.text = "> " + out.text;
  return out;
}

StudyReport run(const std::vector<StudySource>& sources, const StudyOptions& options) {
  StudyReport out;
  std::size_t without_original = 0;
  const Curves curves = collect(sources, without_original);
  StudyTable table{"deletion capacity: largest ratio with test accuracy within kappa of the original's",
                   {{"data and model", "method"}}};
  for (const double kappa : options.kappas) {
    table.rows[0].push_back(fmt::format("kappa {:g}", kappa));
    table.rows[0].push_back("D_f % there");
  }
  table.rows[0].push_back("cells");
  std::map<std::string, StudyPlot> plots;
  for (const auto& [place, ratios] : curves) {
    std::vector<std::string> line = {place.first, place.second};
    for (const double kappa : options.kappas) {
      const Capacity c = capacity(ratios, kappa);
      line.push_back(c.text);
      line.push_back(percent(c.forget));
    }
    std::size_t have = 0, planned = 0;
    auto& plot = plots[place.first];
    plot.name = "capacity-" + place.first;
    plot.title = "test accuracy lost, share of the original's: " + place.first;
    plot.x_title = "deleted, %";
    plot.y_title = "relative loss, %";
    plot.series.push_back({place.second, {}, {}});
    for (const auto& [ratio, at] : ratios) {
      have += at.test.size();
      planned += at.planned;
      if (at.test.empty()) continue;
      const double original = stat::mean(at.original);
      plot.series.back().x.push_back(100 * ratio);
      plot.series.back().y.push_back(100 * (original - stat::mean(at.test)) / original);
    }
    line.push_back(fmt::format("{}/{}", have, planned));
    table.rows.push_back(std::move(line));
  }
  out.tables.push_back(std::move(table));
  for (auto& [place, plot] : plots) out.plots.push_back(std::move(plot));
  out.notes = {
      "\"> 10 %\": every ratio of the sweep passes. D_f there: a method that did nothing keeps it high.",
      "Only cells with status ok count; a ratio without any ends the search."};
  if (without_original > 0)
    out.notes.push_back(fmt::format(
        "{} cells left out: the store of their original is not under the sweep's folder.", without_original));
  return out;
}

const RegisterStudy registered({"capacity", "largest deletion ratio that keeps the test accuracy",
                                "MU-Bench section 4; methods.md 5.7", run});

}  // namespace capacity
}  // namespace expunge::board
