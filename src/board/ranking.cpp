#include "board/ranking.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <tuple>
#include <utility>

#include "core/numbers.hpp"
#include "stat/intervals.hpp"

namespace expunge::board {
namespace {

// Values of one column: [cells, methods] with NaN where there is none, cells sorted by group.
struct Table {
  std::vector<std::string> methods;
  std::vector<std::size_t> group;  // of each cell
  std::vector<double> values;
  double at(std::size_t cell, std::size_t method) const { return values[cell * methods.size() + method]; }
  std::size_t cells() const { return group.size(); }
};

Table table_of(const Leaderboard& leaderboard, std::size_t column) {
  Table out;
  std::set<std::string> methods;
  for (const auto& group : leaderboard.groups)
    for (const auto& entry : group.entries)
      if (entry.method != "retrain") methods.insert(entry.method);
  out.methods.assign(methods.begin(), methods.end());
  std::map<std::string, std::size_t> index;
  for (std::size_t m = 0; m < out.methods.size(); ++m) index[out.methods[m]] = m;
  for (std::size_t g = 0; g < leaderboard.groups.size(); ++g) {
    const auto& group = leaderboard.groups[g];
    const GroupValues values_of(leaderboard, group);
    std::map<std::pair<std::int64_t, std::string>, std::vector<double>> cells;
    for (const auto& entry : group.entries) {
      if (entry.method == "retrain") continue;
      const std::size_t method = index[entry.method];
      for (const Row* row : entry.cells) {
        auto& values =
            cells.try_emplace({row->cell.seed, row->cell.original_id}, methods.size(), kNan).first->second;
        values[method] = values_of.at(*row, column);
      }
    }
    for (const auto& [seed, values] : cells) {
      out.group.push_back(g);
      out.values.insert(out.values.end(), values.begin(), values.end());
    }
  }
  return out;
}

// Which methods are ranked, and why the others are not.
std::vector<std::size_t> choose_methods(const Table& table, Ranking& out, std::vector<std::size_t>& counts) {
  counts.assign(table.methods.size(), 0);
  for (std::size_t c = 0; c < table.cells(); ++c)
    for (std::size_t m = 0; m < table.methods.size(); ++m) counts[m] += !std::isnan(table.at(c, m));
  std::vector<std::size_t> ranked;
  for (std::size_t m = 0; m < table.methods.size(); ++m) {
    if (2 * counts[m] >= table.cells() && counts[m] > 0)
      ranked.push_back(m);
    else
      out.unranked.push_back({table.methods[m], counts[m] == 0
                                                    ? std::string("no value in any cell")
                                                    : fmt::format("values in {} of {} cells, fewer than half",
                                                                  counts[m], table.cells())});
  }
  return ranked;
}

struct Blocks {
  std::vector<double> values;  // [blocks, ranked methods]
  std::vector<std::size_t> group;
};

// Cells in which every ranked method has a value.
Blocks common_cells(const Table& table, const std::vector<std::size_t>& ranked) {
  Blocks out;
  for (std::size_t c = 0; c < table.cells(); ++c) {
    if (!std::ranges::all_of(ranked, [&](std::size_t m) { return !std::isnan(table.at(c, m)); })) continue;
    out.group.push_back(table.group[c]);
    for (const std::size_t m : ranked) out.values.push_back(table.at(c, m));
  }
  return out;
}

// Means over the cells of each group.
Blocks by_group(const Blocks& cells, std::size_t methods) {
  Blocks out;
  for (std::size_t c = 0; c < cells.group.size();) {
    std::vector<double> sums(methods, 0);
    std::size_t end = c;
    for (; end < cells.group.size() && cells.group[end] == cells.group[c]; ++end)
      for (std::size_t m = 0; m < methods; ++m) sums[m] += cells.values[end * methods + m];
    for (const double sum : sums) out.values.push_back(sum / static_cast<double>(end - c));
    out.group.push_back(cells.group[c]);
    c = end;
  }
  return out;
}

// Means of every method in every resample, [resamples, methods].
std::vector<double> resampled_means(const Blocks& blocks, std::size_t methods,
                                    const std::vector<std::uint32_t>& table) {
  const std::size_t n = blocks.group.size();
  std::vector<double> out(table.size() / n * methods, 0);
  for (std::size_t t = 0; t < table.size(); ++t)
    for (std::size_t m = 0; m < methods; ++m)
      out[t / n * methods + m] += blocks.values[table[t] * methods + m] / static_cast<double>(n);
  return out;
}

bool bootstrapped(std::size_t blocks) {
  return std::cmp_greater_equal(blocks, kBootstrapFrom) && std::cmp_less_equal(blocks, kBootstrapUpTo);
}

class Comparison {
 public:
  Comparison(const LeaderboardColumn& column, const Blocks& blocks, std::size_t methods)
      : column_(column), blocks_(blocks), methods_(methods) {
    const std::size_t n = blocks.group.size();
    if (bootstrapped(n))
      means_ = resampled_means(blocks, methods,
                               stat::resample_table(Rng(0, "board").sub("pairs"), stat::kResamples, n));
  }

  Pair compare(std::size_t i, std::size_t j) const {
    Pair out;
    std::vector<double> differences, merits;
    for (std::size_t b = 0; b < blocks_.group.size(); ++b) {
      const double x = blocks_.values[b * methods_ + i], y = blocks_.values[b * methods_ + j];
      differences.push_back(x - y);
      merits.push_back(merit(column_, x) - merit(column_, y));
      ++(merits.back() > 0 ? out.wins : merits.back() < 0 ? out.losses : out.ties);
    }
    const auto interval = stat::t_interval(differences);
    out.difference = interval.mean;
    out.bounds = {interval.mean - interval.half_width, interval.mean + interval.half_width};
    if (!means_.empty()) out.bounds = bootstrap(differences, i, j);
    out.p = stat::signed_rank(merits).p;
    return out;
  }

 private:
  stat::Bounds bootstrap(const std::vector<double>& differences, std::size_t i, std::size_t j) const {
    if (std::ranges::all_of(differences, [&](double d) { return d == differences.front(); }))
      return {differences.front(), differences.front()};
    std::vector<double> resampled, jackknife;
    for (std::size_t at = 0; at < means_.size(); at += methods_)
      resampled.push_back(means_[at + i] - means_[at + j]);
    const double center = stat::mean(differences);
    const auto n = static_cast<double>(differences.size());
    for (const double d : differences) jackknife.push_back((center * n - d) / (n - 1));
    return stat::bca_bounds(std::move(resampled), center, jackknife, 0.95);
  }

  const LeaderboardColumn& column_;
  const Blocks& blocks_;
  std::size_t methods_;
  std::vector<double> means_;
};

void compare_all(const LeaderboardColumn& column, const Blocks& blocks, const std::vector<std::size_t>& order,
                 Ranking& out) {
  const std::size_t n = order.size();
  const Comparison comparison(column, blocks, n);
  out.pairs.assign(n * n, Pair{});
  std::vector<double> p;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i + 1; j < n; ++j) {
      out.pairs[i * n + j] = comparison.compare(order[i], order[j]);
      p.push_back(out.pairs[i * n + j].p);
    }
  const auto adjusted = stat::holm(p);
  std::vector<bool> differ(n * n, false);
  for (std::size_t i = 0, k = 0; i < n; ++i)
    for (std::size_t j = i + 1; j < n; ++j, ++k) {
      auto& a = out.pairs[i * n + j];
      a.holm = adjusted[k];
      differ[i * n + j] = differ[j * n + i] = a.holm < kAlpha;
      out.pairs[j * n + i] = {a.losses, a.ties, a.wins, -a.difference, {-a.bounds.high, -a.bounds.low},
                              a.p,      a.holm};
    }
  std::vector<std::size_t> places(n);
  std::iota(places.begin(), places.end(), std::size_t{0});
  out.runs = stat::tie_groups(places, differ);
  for (std::size_t r = 0; r < out.runs.size(); ++r)
    for (std::size_t i = out.runs[r].first; i <= out.runs[r].last; ++i)
      out.places[i].ties += r < 26 ? std::string(1, static_cast<char>('a' + r)) : fmt::format("({})", r + 1);
}

}  // namespace

Ranking rank_methods(const Leaderboard& leaderboard, std::size_t column) {
  Ranking out;
  out.column = column;
  const auto& described = leaderboard.columns[column];
  const Table table = table_of(leaderboard, column);
  out.planned = table.cells();
  std::vector<std::size_t> counts;
  const auto ranked = choose_methods(table, out, counts);
  if (ranked.size() < 2) {
    out.problem = ranked.empty() ? "no method has values in half of the cells"
                                 : "only one method has values in half of the cells";
    return out;
  }
  const Blocks cells = common_cells(table, ranked);
  out.common = cells.group.size();
  if (out.common == 0) {
    out.problem = fmt::format("no cell is common to the {} methods", ranked.size());
    return out;
  }
  const std::size_t n = ranked.size();
  const Blocks groups = by_group(cells, n);
  out.by_group = groups.group.size() >= kGroupsWorthABlock;
  const Blocks& blocks = out.by_group ? groups : cells;
  out.blocks = blocks.group.size();
  std::vector<double> merits;
  for (const double v : blocks.values) merits.push_back(merit(described, v));
  out.friedman = stat::friedman(merits, n);
  const auto ranks = stat::average_ranks(merits, n);
  const auto intervals =
      stat::rank_intervals(merits, n, 0.95, stat::kResamples, Rng(0, "board").sub("ranks"));
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return ranks[a] < ranks[b]; });
  for (const std::size_t i : order) {
    double sum = 0;
    for (std::size_t b = 0; b < out.blocks; ++b) sum += blocks.values[b * n + i];
    out.places.push_back({table.methods[ranked[i]], ranks[i], intervals[i],
                          sum / static_cast<double>(out.blocks), counts[ranked[i]], ""});
  }
  compare_all(described, blocks, order, out);
  return out;
}

}  // namespace expunge::board
