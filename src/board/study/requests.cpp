// Deletion requests one after another: what each costs, and how far the model drifts. A curve a method: cells
// with the same data, model, method, ratio and number of requests, averaged over seeds.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "board/study/study.hpp"
#include "core/error.hpp"
#include "stat/intervals.hpp"
#include "store/store_file.hpp"

namespace expunge::board {
namespace requests {

using Place = std::tuple<std::string, double, std::string>;  // data set and model, ratio, method

// Values of a column by request, over cells.
using Columns = std::map<std::string, std::vector<std::vector<double>>>;

void add_store(const std::filesystem::path& folder, const std::string& id, Columns& to) {
  const auto path = folder / "cells" / id.substr(0, 2) / (id + ".h5");
  if (!std::filesystem::exists(path)) return;
  const auto record = store::read_record(path);
  const std::size_t columns = record.request_columns.size();
  for (std::size_t i = 0; i < record.requests.size(); ++i) {
    auto& series = to[record.request_columns[i % columns]];
    series.resize(std::max(series.size(), i / columns + 1));
    series[i / columns].push_back(record.requests[i]);
  }
}

double mean_of(const Columns& columns, const std::string& name, std::size_t request) {
  const auto found = columns.find(name);
  return found == columns.end() || request >= found->second.size() ? std::nan("")
                                                                   : stat::mean(found->second[request]);
}

StudyReport run(const std::vector<StudySource>& sources, const StudyOptions&) {
  std::map<Place, Columns> all;
  for (const auto& source : sources)
    for (const auto& row : source.board.rows) {
      if (row.status != "ok" && row.status != "budget") continue;
      if (setting_at(row, "data.requests").empty()) continue;
      add_store(source.folder, row.cell.id, all[{place_text(row), row.cell.ratio, row.cell.method}]);
    }
  StudyReport out;
  StudyTable table{"deletion requests one after another",
                   {{"data and model", "ratio", "method", "request", "|D_f| so far", "FLOPs", "seconds",
                     "D_f so far %", "this part %", "D_r %", "D_test %", "from start", "cells"}}};
  std::map<std::tuple<std::string, double>, StudyPlot> plots;
  for (const auto& [place, columns] : all) {
    const auto found = columns.find("request");
    if (found == columns.end()) continue;
    const auto& [where, ratio, method] = place;
    auto& plot = plots[{where, ratio}];
    plot = {fmt::format("requests_{}", plots.size()),
            fmt::format("D_test over requests, {} at {:g}", where, ratio), "request", "D_test accuracy",
            std::move(plot.series)};
    Series series{method, {}, {}};
    double arrived = 0;
    for (std::size_t j = 0; j < found->second.size(); ++j) {
      arrived += mean_of(columns, "forget", j);
      const auto value = [&](const char* name) { return mean_of(columns, name, j); };
      table.rows.push_back({where, fmt::format("{:g}", ratio), method, fmt::format("{}", j + 1),
                            fmt::format("{:.0f}", arrived), fmt::format("{:.3g}", value("flops")),
                            fmt::format("{:.2f}", value("seconds")), percent(value("forget_accuracy")),
                            percent(value("part_accuracy")), percent(value("retain_accuracy")),
                            percent(value("test_accuracy")), fmt::format("{:.4g}", value("from_start")),
                            fmt::format("{}", found->second[j].size())});
      series.x.push_back(static_cast<double>(j + 1));
      series.y.push_back(value("test_accuracy"));
    }
    plot.series.push_back(std::move(series));
  }
  out.tables.push_back(std::move(table));
  for (auto& [where, plot] : plots) out.plots.push_back(std::move(plot));
  out.notes = {"Means over seeds. From start: L2 distance of the parameters from where the run began."};
  if (out.plots.empty())
    out.notes.push_back("No cell on these boards has data.requests, or its store is not beside the board.");
  return out;
}

const RegisterStudy entry({"requests", "cost and drift over deletion requests that follow one another",
                           "data.requests of a job", run});

}  // namespace requests
}  // namespace expunge::board
