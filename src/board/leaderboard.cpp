#include "board/leaderboard.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string_view>
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

std::pair<std::int64_t, std::string_view> twin(const Row* row) {
  return {row->cell.seed, row->cell.original_id};
}

std::optional<std::size_t> position(const std::vector<std::string>& names, const std::string& name) {
  const auto at = std::find(names.begin(), names.end(), name);
  if (at == names.end()) return std::nullopt;
  return static_cast<std::size_t>(at - names.begin());
}

// Resamples are drawn once for each number of values, while there is room for them.
class Tables {
 public:
  const std::vector<std::uint32_t>& of(std::size_t values) {
    constexpr std::size_t kRoom = 1 << 25;  // draws: 128 MiB
    auto& table = tables_[values];
    if (!table.empty()) return table;
    held_ += stat::kResamples * values;
    if (held_ > kRoom && tables_.size() > 1) {
      tables_.clear();
      held_ = stat::kResamples * values;
    }
    return tables_[values] = stat::resample_table(Rng(0, "board").sub("means"), stat::kResamples, values);
  }

 private:
  std::map<std::size_t, std::vector<std::uint32_t>> tables_;
  std::size_t held_ = 0;
};

Estimate estimate(const std::vector<double>& values, Tables& tables) {
  Estimate out;
  static_cast<stat::Interval&>(out) = stat::t_interval(values);
  out.bounds = {out.mean - out.half_width, out.mean + out.half_width};
  if (out.count < kBootstrapFrom || out.count > kBootstrapUpTo) return out;
  out.bounds = stat::bca_interval(values, 0.95, tables.of(values.size()));
  out.half_width = (out.bounds.high - out.bounds.low) / 2;
  out.bootstrap = true;
  return out;
}

void fill_values(const GroupValues& of, Entry& entry, std::size_t columns, Tables& tables) {
  entry.values.reserve(columns);
  for (std::size_t c = 0; c < columns; ++c) {
    std::vector<double> values;
    for (const Row* row : entry.cells)
      if (const double v = of.at(*row, c); !std::isnan(v)) values.push_back(v);
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

GroupValues::Sources::Sources(const Board& board)
    : columns(board.row_names.size()),
      test(position(board.row_names, "test_accuracy")),
      auc(position(board.row_names, "auc_gold_prob")),
      seconds(position(board.timing_names, "unlearn")) {
  for (const auto& name : kGapColumns) gaps.push_back(position(board.row_names, name));
}

GroupValues::GroupValues(const Leaderboard& leaderboard, const Group& group)
    : GroupValues(Sources(*leaderboard.board), group.entries) {}

GroupValues::GroupValues(const Sources& sources, const std::vector<Entry>& entries) : sources_(sources) {
  if (entries.front().method != "retrain") return;
  for (const Row* row : entries.front().cells)
    if (row->status == "ok") retrained_.push_back(row);
  std::ranges::stable_sort(retrained_, {}, twin);
}

// Retrain's ok cell with the same seed and original.
const Row* GroupValues::retrain_of(const Row& row) const {
  if (row.cell.method == "retrain") return nullptr;
  const auto at = std::ranges::lower_bound(retrained_, twin(&row), {}, twin);
  return at != retrained_.end() && twin(*at) == twin(&row) ? *at : nullptr;
}

double GroupValues::at(const Row& row, std::size_t column) const {
  if (row.status != "ok") return kNan;
  double out = kNan;
  if (column < sources_.columns) {
    out = row.values[column];
  } else if (column == sources_.columns) {
    if (sources_.test && sources_.auc) out = (row.values[*sources_.test] + row.values[*sources_.auc]) / 2;
  } else if (column == sources_.columns + 1) {
    if (sources_.seconds) out = row.timing[*sources_.seconds];
  } else if (const auto source = sources_.gaps[column - sources_.columns - 2]) {
    const Row* retrain = retrain_of(row);
    if (retrain) out = row.values[*source] - retrain->values[*source];
  }
  return std::isfinite(out) ? out : kNan;
}

double merit(const LeaderboardColumn& column, double value) {
  return column.gap ? -std::abs(value) : column.better * value;
}

Leaderboard make_leaderboard(const Board& board) {
  const GroupValues::Sources sources(board);
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
    Group group{std::get<0>(place), std::get<1>(place), std::get<2>(place), {}, {}};
    for (auto& [order, entry] : entries) group.entries.push_back(std::move(entry));
    const GroupValues values(sources, group.entries);
    for (auto& entry : group.entries) {
      count(entry);
      fill_values(values, entry, out.columns.size(), tables);
    }
    mark_best(out.columns, group);
    mark_slow(*column_at(out, "unlearn_seconds"), group);
    out.groups.push_back(std::move(group));
  }
  return out;
}

}  // namespace expunge::board
