// Where the spread of a column comes from: training seed (the original), unlearning seed, evaluation seed,
// and how many seeds a gap needs. Evaluation seeds vary the draws of the metric over kept outputs.
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <tuple>

#include "board/recompute.hpp"
#include "board/study/study.hpp"
#include "core/error.hpp"
#include "core/text.hpp"
#include "metrics/metric.hpp"
#include "stat/intervals.hpp"
#include "stat/variance.hpp"

namespace expunge::board {
namespace variance {

// The metric whose column it is, if it can be computed again.
const metrics::Metric* metric_of(const std::string& column) {
  for (const auto* metric : metrics::metrics())
    for (const auto& c : metric->columns)
      if (c.name == column) return from_outputs_alone(*metric) ? metric : nullptr;
  return nullptr;
}

using Key = std::tuple<std::string, double, std::string>;

struct Observed {
  std::vector<stat::Nested> values;
  std::vector<double> cell_means;
};

void observe(const StudySource& source, const StudyOptions& options, const std::string& column,
             const metrics::Metric* metric, std::map<Key, Observed>& out, std::size_t& evaluated) {
  std::map<std::string, std::int64_t> trainings;
  KeptOutputs kept(source.folder);
  for (const auto& row : source.board.rows) {
    if (row.status != "ok") continue;
    auto& at = out[{place_text(row), row.cell.ratio, row.cell.method}];
    const auto training =
        trainings.try_emplace(row.cell.original_id, static_cast<std::int64_t>(trainings.size()))
            .first->second;
    metrics::Inputs in;
    std::string reason;
    std::vector<double> values;
    if (metric && options.evaluation_seeds > 1 && kept.load(row, retrain_of(source.board, row), in, reason)) {
      ++evaluated;
      for (std::int64_t seed = 0; seed < options.evaluation_seeds; ++seed) {
        in.seed = static_cast<std::uint64_t>(seed);
        for (const auto& value : metric->compute(in))
          if (value.column == column && std::isfinite(value.value)) values.push_back(value.value);
      }
    } else if (const double v = value_at(source.board, row, column); !std::isnan(v)) {
      values.push_back(v);
    }
    for (const double v : values) at.values.push_back({training, row.cell.seed, v});
    if (!values.empty()) at.cell_means.push_back(stat::mean(values));
  }
}

StudyReport run(const std::vector<StudySource>& sources, const StudyOptions& options) {
  const std::string column = options.column.empty() ? "auc_gold_prob" : options.column;
  const auto* metric = metric_of(column);
  std::map<Key, Observed> all;
  std::size_t evaluated = 0;
  for (const auto& source : sources) observe(source, options, column, metric, all, evaluated);
  StudyReport out;
  StudyTable table{fmt::format("spread of {} and seeds for a gap of {:g}", column, options.gap),
                   {{"data and model", "ratio", "method", "sd over cells", "training %", "unlearning %",
                     "evaluation %", "originals", "cells", "seeds needed"}}};
  for (const auto& [key, seen] : all) {
    if (seen.values.empty()) continue;
    const auto& [place, ratio, method] = key;
    const auto v = stat::variance_components(seen.values);
    const double deviation = stat::sample_deviation(seen.cell_means);
    const auto needed = stat::seeds_for_gap(deviation, options.gap);
    table.rows.push_back({place, fmt::format("{:g}", ratio), method,
                          std::isnan(deviation) ? "-" : fmt::format("{:.4f}", deviation),
                          percent(v.share(v.training)), percent(v.share(v.unlearning)),
                          percent(v.share(v.evaluation)), fmt::format("{}", v.trainings),
                          fmt::format("{}", v.unlearnings),
                          std::isnan(deviation) ? "unknown"
                          : deviation == 0      ? "2"
                                                : fmt::format("{}", needed)});
  }
  out.tables.push_back(std::move(table));
  out.notes = {
      "Nested variance components (Henderson's first method); a negative estimate counts as 0; - : that "
      "level was not "
      "repeated, and its share is in the level to its left.",
      "Seeds needed: the smallest number for which the 95 % t interval of a mean with this spread is no "
      "wider than "
      "the gap to either side.",
      metric ? fmt::format("{} cells evaluated with {} seeds from kept outputs.", evaluated,
                           options.evaluation_seeds)
             : "This column cannot be computed again from outputs: no evaluation level."};
  return out;
}

const RegisterStudy registered({"variance",
                                "shares of training, unlearning and evaluation seeds; seeds a gap needs",
                                "Searle, Casella, McCulloch 1992", run});

}  // namespace variance
}  // namespace expunge::board
