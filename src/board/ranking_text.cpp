// Which columns are ranked, and what is said beside a ranking.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "board/format.hpp"
#include "board/ranking.hpp"
#include "board/render.hpp"
#include "core/error.hpp"
#include "core/text.hpp"

namespace expunge::board {
namespace {

// Accuracy on D_f has no best value of its own (neither 0 nor 1), its gap to retrain has.
const std::vector<std::string> kRanked = {
    "overall",     "average", "test_accuracy", "gap_forget_accuracy", "gap_test_accuracy",
    "mia_success", "zrf",     "unlearn_flops", "forget_quality",      "retrain_js"};

bool directed(const LeaderboardColumn& column) { return column.better != 0 || column.gap; }

bool comparable(const Leaderboard& leaderboard, std::size_t column) {
  std::set<std::string> methods;
  for (const auto& group : leaderboard.groups)
    for (const auto& entry : group.entries)
      if (entry.method != "retrain" && entry.values[column].count > 0) methods.insert(entry.method);
  return methods.size() >= 2;
}

std::string friedman_note(const Ranking& ranking) {
  const auto& f = ranking.friedman;
  const std::size_t n = ranking.places.size();
  if (n < 3) return "Two methods: no Friedman test; see their paired comparison.";
  if (std::isnan(f.p))
    return ranking.blocks < 2 ? "One block: no test and no interval is possible."
                              : "All methods tie in every block: no test is possible.";
  return fmt::format("Friedman: chi-squared({}) = {:.2f}, p = {:.3g}{}.", n - 1, f.statistic, f.p,
                     f.p < kAlpha ? "" : ": the ranks do not differ more than chance would have it");
}

}  // namespace

std::vector<std::size_t> ranking_columns(const Leaderboard& leaderboard, const std::string& wanted) {
  std::vector<std::size_t> out;
  if (!wanted.empty()) {
    const auto at = column_at(leaderboard, wanted);
    if (!at || !directed(leaderboard.columns[*at])) {
      std::vector<std::string> have;
      for (const auto& c : leaderboard.columns)
        if (directed(c)) have.push_back(c.name);
      throw UsageError(at ? fmt::format("{} has no better and worse: it cannot be ranked", wanted)
                          : fmt::format("no column {}{}", wanted, did_you_mean(wanted, have)));
    }
    out.push_back(*at);
  }
  for (const auto& name : kRanked)
    if (const auto at = column_at(leaderboard, name);
        at && comparable(leaderboard, *at) && std::find(out.begin(), out.end(), *at) == out.end())
      out.push_back(*at);
  return out;
}

std::vector<std::vector<std::string>> ranking_table(const Leaderboard& leaderboard, const Ranking& ranking) {
  const auto& column = leaderboard.columns[ranking.column];
  const auto bounds = [](const stat::Bounds& b, const char* format) {
    return std::isnan(b.low) ? std::string("-")
                             : fmt::format("{} to {}", fmt::format(fmt::runtime(format), b.low),
                                           fmt::format(fmt::runtime(format), b.high));
  };
  std::vector<std::vector<std::string>> out = {
      {"method", "rank", "95 %", "place 95 %", column.title, "ties", "cells"}};
  for (const auto& p : ranking.places) {
    Estimate mean;
    mean.count = 1;
    mean.mean = p.mean;
    out.push_back({p.method, fmt::format("{:.2f}", p.rank), bounds(p.interval.rank, "{:.2f}"),
                   bounds(p.interval.place, "{:.3g}"), shown_mean(column, mean), p.ties,
                   fmt::format("{}/{}", p.cells, ranking.planned)});
  }
  return out;
}

Rankings make_rankings(const Leaderboard& leaderboard, const std::string& primary) {
  Rankings out;
  for (const std::size_t column : ranking_columns(leaderboard, primary))
    out.push_back(rank_methods(leaderboard, column));
  return out;
}

std::vector<std::string> ranking_notes(const Leaderboard& leaderboard, const Ranking& ranking) {
  std::vector<std::string> out;
  for (const auto& u : ranking.unranked)
    out.push_back(fmt::format("Not ranked: {} ({}).", u.method, u.reason));
  if (!ranking.problem.empty()) {
    out.insert(out.begin(), "No ranking: " + ranking.problem + ".");
    return out;
  }
  std::string line = fmt::format("Ranked on {} of {} cells", ranking.common, ranking.planned);
  if (ranking.common < ranking.planned) {
    std::vector<std::string> lacking;
    for (const auto& p : ranking.places)
      if (p.cells < ranking.planned) lacking.push_back(fmt::format("{} has {}", p.method, p.cells));
    line += ", those that every ranked method has";
    if (!lacking.empty()) line += " (" + join(lacking, ", ") + ")";
  }
  out.push_back(line + ".");
  const bool gap = leaderboard.columns[ranking.column].gap;
  out.push_back(fmt::format(
      "{}{}",
      ranking.by_group
          ? fmt::format(
                "A block is one of {} groups (data set, model, ratio), the mean over its seeds; groups that "
                "share data are not independent.",
                ranking.blocks)
          : fmt::format(
                "A block is one of {} cells: with fewer than {} groups the tests speak about more seeds of "
                "these settings only, not about other data or models.",
                ranking.blocks, kGroupsWorthABlock),
      gap ? " The smaller the absolute difference from retrain the better." : ""));
  out.push_back(friedman_note(ranking));
  if (ranking.blocks >= 2)
    out.push_back(fmt::format(
        "Methods that share a letter do not differ (signed-rank tests, Holm's adjustment over {} pairs, "
        "alpha "
        "0.05). Intervals of ranks and places: 95 %, {} bootstrap resamples of the blocks; of differences: "
        "{}.",
        ranking.places.size() * (ranking.places.size() - 1) / 2, stat::kResamples,
        std::cmp_greater_equal(ranking.blocks, kBootstrapFrom) &&
                std::cmp_less_equal(ranking.blocks, kBootstrapUpTo)
            ? "BCa bootstrap"
            : "Student's t"));
  return out;
}

}  // namespace expunge::board
