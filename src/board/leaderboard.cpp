#include "board/leaderboard.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "core/numbers.hpp"
#include "metrics/metric.hpp"

namespace expunge::board {
namespace {

const std::vector<std::string> kGapColumns = {"test_accuracy", "forget_accuracy", "retain_accuracy"};
const std::set<std::string> kNarrow = {"test_accuracy", "forget_accuracy", "retain_accuracy",
                                       "auc_gold_prob", "mia_success",     "zrf",
                                       "overall",       "unlearn_flops",   "percent_of_retrain"};

LeaderboardColumn describe(const std::string& name) {
  for (const metrics::Metric* metric : metrics::metrics())
    for (const auto& c : metric->columns)
      if (c.name == name)
        return {c.name, c.title, c.help, c.better, c.percent, false, kNarrow.count(name) != 0};
  return {name, name, "", 0, false, false, false};
}

std::vector<LeaderboardColumn> columns_of(const Board& board) {
  std::vector<LeaderboardColumn> out;
  for (const auto& name : board.row_names) out.push_back(describe(name));
  out.push_back({"average", "Avg", "mean of D_test and AUC (MultiDelete)", 1, true, false, false});
  out.push_back({"unlearn_seconds", "Seconds",
                 "time of unlearning on the machine that ran it; not part of the results' identity", -1,
                 false, false, true});
  for (const auto& name : kGapColumns) {
    const auto c = describe(name);
    out.push_back({"gap_" + name, "Δ" + c.title, c.title + " minus that of retrain with the same seed", 0,
                   c.percent, true, true});
  }
  return out;
}

std::optional<std::size_t> position(const std::vector<std::string>& names, const std::string& name) {
  const auto at = std::find(names.begin(), names.end(), name);
  if (at == names.end()) return std::nullopt;
  return static_cast<std::size_t>(at - names.begin());
}

// What the derived columns are made of, looked up once.
struct Sources {
  explicit Sources(const Board& board)
      : columns(board.row_names.size()),
        test(position(board.row_names, "test_accuracy")),
        auc(position(board.row_names, "auc_gold_prob")),
        seconds(position(board.timing_names, "unlearn")) {
    for (const auto& name : kGapColumns) gaps.push_back(position(board.row_names, name));
  }
  std::size_t columns;
  std::optional<std::size_t> test, auc, seconds;
  std::vector<std::optional<std::size_t>> gaps;
};

// Retrain's ok cell with the same seed and original.
const Row* retrain_of(const Group& group, const Row& row) {
  if (group.entries.front().method != "retrain" || row.cell.method == "retrain") return nullptr;
  for (const Row* other : group.entries.front().cells)
    if (other->status == "ok" && other->cell.seed == row.cell.seed &&
        other->cell.original_id == row.cell.original_id)
      return other;
  return nullptr;
}

double value_of(const Sources& sources, const Group& group, const Row& row, std::size_t column) {
  if (row.status != "ok") return kNan;
  double out = kNan;
  if (column < sources.columns) {
    out = row.values[column];
  } else if (column == sources.columns) {
    if (sources.test && sources.auc) out = (row.values[*sources.test] + row.values[*sources.auc]) / 2;
  } else if (column == sources.columns + 1) {
    if (sources.seconds) out = row.timing[*sources.seconds];
  } else if (const auto at = sources.gaps[column - sources.columns - 2]) {
    const Row* retrain = retrain_of(group, row);
    if (retrain) out = row.values[*at] - retrain->values[*at];
  }
  return std::isfinite(out) ? out : kNan;
}

// Resamples are drawn once for each number of values.
using Tables = std::map<std::size_t, std::vector<std::uint32_t>>;

Estimate estimate(const std::vector<double>& values, Tables& tables) {
  Estimate out;
  static_cast<stat::Interval&>(out) = stat::t_interval(values);
  out.bounds = {out.mean - out.half_width, out.mean + out.half_width};
  if (out.count < kBootstrapFrom) return out;
  auto& table = tables[values.size()];
  if (table.empty())
    table = stat::resample_table(Rng(0, "board").sub("means"), stat::kResamples, values.size());
  out.bounds = stat::bca_interval(values, 0.95, table);
  out.half_width = (out.bounds.high - out.bounds.low) / 2;
  out.bootstrap = true;
  return out;
}

void fill_values(const Sources& sources, const Group& group, Entry& entry, std::size_t columns,
                 Tables& tables) {
  for (std::size_t c = 0; c < columns; ++c) {
    std::vector<double> values;
    for (const Row* row : entry.cells)
      if (const double v = value_of(sources, group, *row, c); !std::isnan(v)) values.push_back(v);
    entry.values.push_back(estimate(values, tables));
  }
}

void count(Entry& entry) {
  for (const Row* row : entry.cells) {
    if (row->status == "ok")
      ++entry.ok;
    else if (row->status == "diverged")
      ++entry.diverged;
    else if (row->status == "budget")
      ++entry.budget;
    else if (row->status == "failed")
      ++entry.failed;
    else
      ++entry.missing;
  }
}

void mark_best(const std::vector<LeaderboardColumn>& columns, Group& group) {
  for (auto& entry : group.entries) entry.best.assign(columns.size(), false);
  for (std::size_t c = 0; c < columns.size(); ++c) {
    if (columns[c].better == 0 && !columns[c].gap) continue;
    double best = -std::numeric_limits<double>::infinity();
    const auto counts = [&](const Entry& e) { return e.method != "retrain" && e.values[c].count > 0; };
    for (const auto& e : group.entries)
      if (counts(e)) best = std::max(best, merit(columns[c], e.values[c].mean));
    for (auto& e : group.entries) e.best[c] = counts(e) && merit(columns[c], e.values[c].mean) == best;
  }
}

// Unlearning that takes longer than retraining has no point.
void mark_slow(std::size_t seconds, Group& group) {
  const Entry& retrain = group.entries.front();
  if (retrain.method != "retrain" || retrain.values[seconds].count == 0) return;
  for (auto& e : group.entries)
    e.slower_than_retrain =
        e.values[seconds].count > 0 && e.values[seconds].mean > retrain.values[seconds].mean;
}

}  // namespace

std::optional<std::size_t> column_at(const Leaderboard& leaderboard, const std::string& name) {
  for (std::size_t c = 0; c < leaderboard.columns.size(); ++c)
    if (leaderboard.columns[c].name == name) return c;
  return std::nullopt;
}

double cell_value(const Leaderboard& leaderboard, const Group& group, const Row& row, std::size_t column) {
  return value_of(Sources(*leaderboard.board), group, row, column);
}

double merit(const LeaderboardColumn& column, double value) {
  return column.gap ? -std::abs(value) : column.better * value;
}

Leaderboard make_leaderboard(const Board& board) {
  const Sources sources(board);
  Tables tables;
  Leaderboard out;
  out.board = &board;
  out.columns = columns_of(board);
  std::map<std::tuple<std::string, std::string, double>, std::map<std::pair<bool, std::string>, Entry>>
      groups;
  for (const auto& row : board.rows) {
    auto& entry = groups[{row.cell.dataset, row.cell.model, row.cell.ratio}]
                        [{row.cell.method != "retrain", row.cell.method}];
    entry.method = row.cell.method;
    entry.cells.push_back(&row);
  }
  for (auto& [place, entries] : groups) {
    Group group{std::get<0>(place), std::get<1>(place), std::get<2>(place), {}};
    for (auto& [order, entry] : entries) group.entries.push_back(std::move(entry));
    for (auto& entry : group.entries) {
      count(entry);
      fill_values(sources, group, entry, out.columns.size(), tables);
    }
    mark_best(out.columns, group);
    mark_slow(*column_at(out, "unlearn_seconds"), group);
    out.groups.push_back(std::move(group));
  }
  return out;
}

}  // namespace expunge::board
