#include "stat/rank.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/numbers.hpp"

namespace expunge::stat {
namespace {

bool defined(std::span<const double> positives, std::span<const double> negatives) {
  const auto is_nan = [](double x) { return std::isnan(x); };
  return !positives.empty() && !negatives.empty() && std::ranges::none_of(positives, is_nan) &&
         std::ranges::none_of(negatives, is_nan);
}

// Partial Fisher-Yates draws on one order that is put back after each subset: a subset costs its own size,
// not the population's, and equals Rng::sample.
class Subsets {
 public:
  Subsets(std::int64_t size, std::int64_t population) : order_(population), swaps_(size) {
    std::iota(order_.begin(), order_.end(), std::int64_t{0});
  }

  // Calls visit(member) for each member of the subset keyed by `rng`.
  template <class Visit>
  void draw(const Rng& rng, Visit visit) {
    const std::size_t population = order_.size();
    for (std::size_t i = 0; i < swaps_.size(); ++i) {
      swaps_[i] = i + rng.below(population - i, i);
      std::swap(order_[i], order_[swaps_[i]]);
      visit(order_[i]);
    }
    for (std::size_t i = swaps_.size(); i-- > 0;) std::swap(order_[i], order_[swaps_[i]]);
  }

 private:
  std::vector<std::int64_t> order_;
  std::vector<std::size_t> swaps_;
};

}  // namespace

std::vector<std::int64_t> doubled_wins(std::span<const double> positives, std::span<const double> negatives) {
  std::vector<double> sorted(negatives.begin(), negatives.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::int64_t> wins;
  wins.reserve(positives.size());
  for (const double score : positives) {
    const auto below = std::lower_bound(sorted.begin(), sorted.end(), score);
    const auto above = std::upper_bound(below, sorted.end(), score);
    wins.push_back((below - sorted.begin()) + (above - sorted.begin()));
  }
  return wins;
}

double auc(std::span<const double> positives, std::span<const double> negatives) {
  if (!defined(positives, negatives)) return kNan;
  const auto wins = doubled_wins(positives, negatives);
  const auto total = std::accumulate(wins.begin(), wins.end(), std::int64_t{0});
  return static_cast<double>(total) /
         (2.0 * static_cast<double>(positives.size()) * static_cast<double>(negatives.size()));
}

Resampled resampled_auc(std::span<const double> positives, std::span<const double> negatives,
                        std::int64_t resamples, const Rng& rng) {
  if (!defined(positives, negatives) || resamples < 1) return {kNan, kNan};
  const auto wins = doubled_wins(positives, negatives);
  const auto population = static_cast<std::int64_t>(positives.size());
  const auto size = std::min(population, static_cast<std::int64_t>(negatives.size()));
  const double pairs = 2.0 * static_cast<double>(size) * static_cast<double>(negatives.size());
  if (size == population) return {auc(positives, negatives), 0.0};

  Subsets subsets(size, population);
  std::vector<double> values;
  for (std::int64_t r = 0; r < resamples; ++r) {
    std::int64_t total = 0;
    subsets.draw(rng.sub(static_cast<std::uint64_t>(r)),
                 [&](std::int64_t member) { total += wins[static_cast<std::size_t>(member)]; });
    values.push_back(static_cast<double>(total) / pairs);
  }
  const double count = static_cast<double>(resamples);
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, resamples > 1 ? std::sqrt(squares / (count - 1)) : 0.0};
}

}  // namespace expunge::stat
