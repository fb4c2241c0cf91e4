#include "stat/ranking.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/numbers.hpp"
#include "stat/distributions.hpp"
#include "stat/intervals.hpp"

namespace expunge::stat {
namespace {

constexpr std::size_t kMostExact = 50;

// Ascending mid-ranks.
std::vector<double> mid_ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return values[a] < values[b]; });
  std::vector<double> out(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t j = i;
    while (j + 1 < order.size() && values[order[j + 1]] == values[order[i]]) ++j;
    const double rank = 1 + static_cast<double>(i + j) / 2;
    for (std::size_t k = i; k <= j; ++k) out[order[k]] = rank;
    i = j + 1;
  }
  return out;
}

// Sum over groups of equal values of t^3 - t.
double tie_sum(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  double out = 0;
  for (std::size_t i = 0; i < values.size();) {
    std::size_t j = i;
    while (j < values.size() && values[j] == values[i]) ++j;
    const auto t = static_cast<double>(j - i);
    out += t * t * t - t;
    i = j;
  }
  return out;
}

// P(W <= w) of the rank sum of n untied differences: the count of subsets of 1..n with sum at most w.
double exact_lower(std::size_t n, double w) {
  const std::size_t most = n * (n + 1) / 2;
  std::vector<double> ways(most + 1, 0);
  ways[0] = 1;
  for (std::size_t rank = 1; rank <= n; ++rank)
    for (std::size_t sum = most; sum >= rank; --sum) ways[sum] += ways[sum - rank];
  double below = 0;
  for (std::size_t sum = 0; sum <= most && static_cast<double>(sum) <= w; ++sum) below += ways[sum];
  return below / std::exp2(static_cast<double>(n));
}

// The ranks of every block, [blocks, methods].
std::vector<double> all_ranks(std::span<const double> merits, std::size_t methods) {
  std::vector<double> out;
  out.reserve(merits.size());
  for (std::size_t at = 0; at + methods <= merits.size(); at += methods) {
    const auto ranks = descending_ranks(merits.subspan(at, methods));
    out.insert(out.end(), ranks.begin(), ranks.end());
  }
  return out;
}

}  // namespace

std::vector<double> descending_ranks(std::span<const double> merits) {
  std::vector<double> negated(merits.size());
  std::transform(merits.begin(), merits.end(), negated.begin(), [](double v) { return -v; });
  return mid_ranks(negated);
}

std::vector<double> average_ranks(std::span<const double> merits, std::size_t methods) {
  std::vector<double> out(methods, 0);
  const auto ranks = all_ranks(merits, methods);
  for (std::size_t i = 0; i < ranks.size(); ++i) out[i % methods] += ranks[i];
  for (double& v : out) v /= static_cast<double>(merits.size() / std::max<std::size_t>(1, methods));
  return out;
}

Friedman friedman(std::span<const double> merits, std::size_t methods) {
  const std::size_t blocks = methods ? merits.size() / methods : 0;
  if (blocks < 2 || methods < 3) return {kNan, kNan, kNan, kNan};
  const auto n = static_cast<double>(blocks), k = static_cast<double>(methods);
  double ties = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    const auto block = merits.subspan(b * methods, methods);
    ties += tie_sum({block.begin(), block.end()});
  }
  const double correction = 1 - ties / (n * k * (k * k - 1));
  if (!(correction > 0)) return {kNan, kNan, kNan, kNan};
  double squares = 0;
  for (const double rank : average_ranks(merits, methods)) squares += n * n * rank * rank;
  const double chi = (12 / (n * k * (k + 1)) * squares - 3 * n * (k + 1)) / correction;
  const double room = n * (k - 1) - chi;
  const double f = room > 1e-9 * n * (k - 1) ? (n - 1) * chi / room : kInfinity;
  return {chi, chi_squared_tail(chi, k - 1), f, f_tail(f, k - 1, (k - 1) * (n - 1))};
}

std::vector<RankInterval> rank_intervals(std::span<const double> merits, std::size_t methods, double level,
                                         std::int64_t resamples, const Rng& rng) {
  const std::size_t blocks = methods ? merits.size() / methods : 0;
  std::vector<RankInterval> out(methods, {{kNan, kNan}, {kNan, kNan}});
  if (blocks < 2) return out;
  const auto ranks = all_ranks(merits, methods);
  std::vector<std::vector<double>> rank(methods), place(methods);
  for (std::int64_t r = 0; r < resamples; ++r) {
    std::vector<double> sums(methods, 0);
    for (const std::uint32_t b : resample(rng, r, blocks))
      for (std::size_t m = 0; m < methods; ++m) sums[m] += ranks[b * methods + m];
    const auto places = mid_ranks(sums);
    for (std::size_t m = 0; m < methods; ++m) {
      rank[m].push_back(sums[m] / static_cast<double>(blocks));
      place[m].push_back(places[m]);
    }
  }
  const double low = (1 - level) / 2;
  for (std::size_t m = 0; m < methods; ++m) {
    std::sort(rank[m].begin(), rank[m].end());
    std::sort(place[m].begin(), place[m].end());
    out[m] = {{sorted_quantile(rank[m], low), sorted_quantile(rank[m], 1 - low)},
              {sorted_quantile(place[m], low), sorted_quantile(place[m], 1 - low)}};
  }
  return out;
}

SignedRank signed_rank(std::span<const double> differences) {
  std::vector<double> sizes;
  std::vector<bool> up;
  for (const double d : differences) {
    if (!std::isfinite(d)) return {kNan, kNan, false};
    if (d == 0) continue;
    sizes.push_back(std::abs(d));
    up.push_back(d > 0);
  }
  if (differences.empty()) return {kNan, kNan, false};
  if (sizes.empty()) return {0, 1, true};
  const auto ranks = mid_ranks(sizes);
  double plus = 0, minus = 0;
  for (std::size_t i = 0; i < ranks.size(); ++i) (up[i] ? plus : minus) += ranks[i];
  const double w = std::min(plus, minus), ties = tie_sum(sizes);
  if (ties == 0 && sizes.size() <= kMostExact)
    return {w, std::min(1.0, 2 * exact_lower(sizes.size(), w)), true};
  const auto n = static_cast<double>(sizes.size());
  const double spread = std::sqrt((n * (n + 1) * (2 * n + 1) - ties / 2) / 24);
  const double z = (w - n * (n + 1) / 4) / spread;
  return {w, std::min(1.0, 2 * normal_probability(-std::abs(z))), false};
}

double paired_t(std::span<const double> differences) {
  const double deviation = sample_deviation(differences);
  if (std::isnan(deviation)) return kNan;
  const double center = mean(differences), n = static_cast<double>(differences.size());
  if (deviation == 0) return center == 0 ? 1 : 0;
  const double t = center / (deviation / std::sqrt(n));
  return incomplete_beta((n - 1) / 2, 0.5, (n - 1) / (n - 1 + t * t));
}

std::vector<double> holm(std::span<const double> p) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < p.size(); ++i)
    if (!std::isnan(p[i])) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return p[a] < p[b]; });
  std::vector<double> out(p.size(), kNan);
  double largest = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    largest = std::max(largest, std::min(1.0, static_cast<double>(order.size() - i) * p[order[i]]));
    out[order[i]] = largest;
  }
  return out;
}

std::vector<Run> tie_groups(const std::vector<std::size_t>& order, const std::vector<bool>& differ) {
  const std::size_t n = order.size();
  std::vector<Run> out;
  std::size_t reached = 0;  // one past the last position of the previous run
  for (std::size_t first = 0; first < n; ++first) {
    std::size_t last = first;
    const auto joins = [&](std::size_t next) {
      for (std::size_t i = first; i <= last; ++i)
        if (differ[order[i] * n + order[next]]) return false;
      return true;
    };
    while (last + 1 < n && joins(last + 1)) ++last;
    if (last + 1 <= reached) continue;  // inside the previous run
    out.push_back({first, last});
    reached = last + 1;
  }
  return out;
}

}  // namespace expunge::stat
