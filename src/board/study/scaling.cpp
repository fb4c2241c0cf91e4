// Scaling laws: accuracy on D_f against log10 of the FLOPs of unlearning, a straight line per method over
// cells that spent different amounts (budgets, epochs). SCRUB alternates two objectives, so its line is
// fitted within a phase, told by the last call of the run's history.
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "board/study/study.hpp"
#include "stat/line.hpp"
#include "store/store_file.hpp"

namespace expunge::board {
namespace scaling {

struct Points {
  std::vector<double> flops, value;
};

// "ascent" or "descent" of SCRUB's last epoch; "" when it cannot be told.
std::string scrub_phase(const StudySource& source, const Row& row) {
  const auto path = source.folder / "cells" / row.cell.id.substr(0, 2) / (row.cell.id + ".h5");
  if (!std::filesystem::exists(path)) return "";
  const auto record = store::read_record(path);
  const std::size_t columns = record.history_columns.size();
  if (columns == 0 || record.history.empty()) return "";
  const std::string text = setting_at(row, "method_options.max_epochs");
  const auto ascents = text.empty() ? 0 : static_cast<std::size_t>(std::strtoull(text.c_str(), nullptr, 10));
  const std::size_t last = record.history.size() / columns - 1;  // calls alternate while ascents go on
  return last < 2 * ascents && last % 2 == 0 ? "ascent" : "descent";
}

StudyReport run(const std::vector<StudySource>& sources, const StudyOptions& options) {
  const std::string column = options.column.empty() ? "forget_accuracy" : options.column;
  std::map<std::tuple<std::string, double, std::string>, Points> all;
  bool mixed = false;
  for (const auto& source : sources)
    for (const auto& row : source.board.rows) {
      const double value = value_at(source.board, row, column),
                   flops = value_at(source.board, row, "unlearn_flops");
      if (row.status == "diverged" || std::isnan(value) || !(flops > 0)) continue;
      std::string method = row.cell.method;
      if (method == "scrub") {
        const std::string phase = scrub_phase(source, row);
        mixed |= phase.empty();
        if (!phase.empty()) method += " (" + phase + ")";
      }
      auto& points = all[{place_text(row), row.cell.ratio, method}];
      points.flops.push_back(std::log10(flops));
      points.value.push_back(value);
    }
  StudyReport out;
  StudyTable table{
      column + " against log10 FLOPs, least squares",
      {{"data and model", "ratio", "method", "slope a decade", "95 %", "R2", "p", "cells", "costs"}}};
  std::map<std::pair<std::string, double>, StudyPlot> plots;
  for (const auto& [key, points] : all) {
    const auto& [place, ratio, method] = key;
    const auto line = stat::fit_line(points.flops, points.value);
    const std::size_t costs = std::set<double>(points.flops.begin(), points.flops.end()).size();
    const auto number = [](double v, const char* format) {
      return std::isnan(v) ? std::string("-") : fmt::format(fmt::runtime(format), v);
    };
    table.rows.push_back({place, fmt::format("{:g}", ratio), method, number(line.slope, "{:+.3f}"),
                          std::isnan(line.slope_half) ? "-" : fmt::format("±{:.3f}", line.slope_half),
                          number(line.r2, "{:.2f}"), number(line.p, "{:.2g}"),
                          fmt::format("{}", points.flops.size()), fmt::format("{}", costs)});
    auto& plot = plots[{place, ratio}];
    plot = {fmt::format("scaling-{}-{:g}", place, ratio),
            fmt::format("{} against cost: {}, ratio {:g}", column, place, ratio), "log10 FLOPs", column,
            std::move(plot.series)};
    plot.series.push_back({method, points.flops, points.value, false});
  }
  out.tables.push_back(std::move(table));
  for (auto& [key, plot] : plots) out.plots.push_back(std::move(plot));
  out.notes = {
      "A line needs several costs: give boards of several budgets. Cells of one seed share data, so the "
      "interval is that of a descriptive fit."};
  if (mixed)
    out.notes.push_back("Some stores of scrub are not at hand: its two phases are mixed in one line there.");
  return out;
}

const RegisterStudy registered({"scaling", "accuracy on D_f against log FLOPs: slope, R2, interval",
                                "MU-Bench figure 5; methods.md 5.9", run});

}  // namespace scaling
}  // namespace expunge::board
