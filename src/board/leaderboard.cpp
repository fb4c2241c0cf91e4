#include "board/leaderboard.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "metrics/metric.hpp"

namespace expunge::board {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
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

// The defined values of the ok cells.
template <class Value>
stat::Interval over_seeds(const Entry& entry, Value&& value) {
  std::vector<double> values;
  for (const Row* row : entry.cells)
    if (row->status == "ok")
      if (const double v = value(*row); !std::isnan(v)) values.push_back(v);
  return stat::t_interval(values);
}

// The value of retrain's ok cell with this seed.
double retrain_value(const Entry* retrain, std::int64_t seed, std::size_t column) {
  if (retrain)
    for (const Row* row : retrain->cells)
      if (row->status == "ok" && row->cell.seed == seed) return row->values[column];
  return kNan;
}

void fill_values(const Board& board, Entry& entry, const Entry* retrain) {
  for (std::size_t c = 0; c < board.row_names.size(); ++c)
    entry.values.push_back(over_seeds(entry, [&](const Row& r) { return r.values[c]; }));
  const auto seconds = position(board.timing_names, "unlearn");
  entry.values.push_back(
      over_seeds(entry, [&](const Row& r) { return seconds ? r.timing[*seconds] : kNan; }));
  for (const auto& name : kGapColumns) {
    const auto c = position(board.row_names, name);
    entry.values.push_back(over_seeds(entry, [&](const Row& r) {
      return c && retrain != &entry ? r.values[*c] - retrain_value(retrain, r.cell.seed, *c) : kNan;
    }));
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

// How good a mean is in its column; higher is better.
double merit(const LeaderboardColumn& column, double mean) {
  return column.gap ? -std::abs(mean) : column.better * mean;
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

}  // namespace

Leaderboard make_leaderboard(const Board& board) {
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
    const Entry* retrain = group.entries.front().method == "retrain" ? &group.entries.front() : nullptr;
    for (auto& entry : group.entries) {
      count(entry);
      fill_values(board, entry, retrain);
    }
    mark_best(out.columns, group);
    out.groups.push_back(std::move(group));
  }
  return out;
}

}  // namespace expunge::board
