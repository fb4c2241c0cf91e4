// FLOP budget: every method stopped at the same shares of what retraining costs. One board (or several) of
// cells with [budget] flops = "N% of retrain".
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <tuple>

#include "board/study/study.hpp"
#include "stat/intervals.hpp"

namespace expunge::board {
namespace budget {

constexpr double kNoBudget = 1e9;

struct AtBudget {
  std::vector<double> test, forget, overall, used;
  std::size_t stopped = 0, planned = 0, have = 0;
};

void add(std::vector<double>& to, double v) {
  if (!std::isnan(v)) to.push_back(v);
}

StudyReport run(const std::vector<StudySource>& sources, const StudyOptions&) {
  std::map<std::tuple<std::string, double, std::string, double>, AtBudget>
      cells;  // place, ratio, method, budget
  for (const auto& source : sources)
    for (const auto& row : source.board.rows) {
      const std::string text = setting_at(row, "budget.percent_of_retrain");
      const double share = text.empty() ? kNoBudget : std::strtod(text.c_str(), nullptr);
      auto& at = cells[{place_text(row), row.cell.ratio, row.cell.method, share}];
      ++at.planned;
      if (!row.merged() || row.status == "diverged") continue;
      ++at.have;
      at.stopped += row.status == "budget";
      add(at.test, value_at(source.board, row, "test_accuracy"));
      add(at.forget, value_at(source.board, row, "forget_accuracy"));
      add(at.overall, value_at(source.board, row, "overall"));
      add(at.used, value_at(source.board, row, "percent_of_retrain"));
    }
  StudyReport out;
  StudyTable table{"results at a FLOP budget, means over seeds",
                   {{"data and model", "ratio", "method", "budget %", "used %", "D_test %", "D_f %",
                     "overall %", "stopped", "cells"}}};
  std::map<std::pair<std::string, double>, StudyPlot> plots;
  for (const auto& [key, at] : cells) {
    const auto& [place, ratio, method, share] = key;
    const bool whole = share == kNoBudget;
    table.rows.push_back({place, fmt::format("{:g}", ratio), method,
                          whole ? "none" : fmt::format("{:g}", share), percent(stat::mean(at.used)),
                          percent(stat::mean(at.test)), percent(stat::mean(at.forget)),
                          percent(stat::mean(at.overall)), fmt::format("{}", at.stopped),
                          fmt::format("{}/{}", at.have, at.planned)});
    if (at.used.empty() || at.overall.empty()) continue;
    auto& plot = plots[{place, ratio}];
    plot = {fmt::format("budget-{}-{:g}", place, ratio),
            fmt::format("overall score at equal cost: {}, ratio {:g}", place, ratio),
            "FLOPs used, % of retrain", "overall, %", std::move(plot.series)};
    if (plot.series.empty() || plot.series.back().name != method) plot.series.push_back({method, {}, {}});
    plot.series.back().x.push_back(100 * stat::mean(at.used));
    plot.series.back().y.push_back(100 * stat::mean(at.overall));
  }
  out.tables.push_back(std::move(table));
  for (auto& [key, plot] : plots) out.plots.push_back(std::move(plot));
  out.notes = {
      "Cells that ran into their budget are the point here and are averaged with those that ended before it; "
      "\"stopped\" counts them. Diverged cells are in no mean."};
  return out;
}

const RegisterStudy registered({"budget", "every method stopped at the same shares of retraining's FLOPs",
                                "MU-Bench section A.5; methods.md 5.9", run});

}  // namespace budget
}  // namespace expunge::board
