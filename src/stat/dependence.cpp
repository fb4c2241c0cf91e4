#include "stat/dependence.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace expunge::stat {
namespace {

// Ranks of y as the estimators take them: of values at or below, and at or above.
struct Ranks {
  std::vector<double> below, above;
};

Ranks ranks_of(const std::vector<double>& y) {
  std::vector<double> sorted = y;
  std::sort(sorted.begin(), sorted.end());
  Ranks out;
  for (double v : y) {
    out.below.push_back(
        static_cast<double>(std::upper_bound(sorted.begin(), sorted.end(), v) - sorted.begin()));
    out.above.push_back(
        static_cast<double>(sorted.end() - std::lower_bound(sorted.begin(), sorted.end(), v)));
  }
  return out;
}

// A column with mean 0 and variance 1; empty when it is constant.
std::vector<double> standardised(const Columns& x, std::int64_t column) {
  std::vector<double> out(static_cast<std::size_t>(x.n));
  double mean = 0, square = 0;
  for (std::int64_t i = 0; i < x.n; ++i)
    mean += out[static_cast<std::size_t>(i)] = static_cast<double>(x.values[i * x.width + column]);
  mean /= static_cast<double>(x.n);
  for (double& v : out) {
    v -= mean;
    square += v * v;
  }
  const double deviation = std::sqrt(square / static_cast<double>(x.n));
  if (!(deviation > 1e-12 * (1 + std::fabs(mean)))) return {};
  for (double& v : out) v /= deviation;
  return out;
}

// Squared distances between the samples in the columns chosen so far: [n, n].
class Distances {
 public:
  explicit Distances(std::int64_t n) : n_(n), squared_(static_cast<std::size_t>(n * n), 0.0) {}

  void add(const std::vector<double>& column) {
    for (std::size_t i = 0; i < column.size(); ++i)
      for (std::size_t k = 0; k < column.size(); ++k)
        squared_[i * column.size() + k] += (column[i] - column[k]) * (column[i] - column[k]);
  }

  // The nearest other sample of each, with one more column (or none, when it is empty).
  std::vector<std::size_t> neighbours(const std::vector<double>& extra) const {
    const auto n = static_cast<std::size_t>(n_);
    std::vector<std::size_t> out(n);
    for (std::size_t i = 0; i < n; ++i) {
      double best = std::numeric_limits<double>::infinity();
      const double* row = squared_.data() + i * n;
      for (std::size_t k = 0; k < n; ++k) {
        const double step = extra.empty() ? 0 : extra[i] - extra[k];
        const double d = k == i ? std::numeric_limits<double>::infinity() : row[k] + step * step;
        if (d < best) best = d, out[i] = k;
      }
    }
    return out;
  }

 private:
  std::int64_t n_;
  std::vector<double> squared_;
};

// The nearest other sample of each in one column, as Distances would find it: the smaller index of equally
// near ones. Samples are sorted; equal values stand by index.
std::vector<std::size_t> neighbours_in(const std::vector<double>& column) {
  const std::size_t n = column.size();
  std::vector<std::size_t> order(n), out(n);
  for (std::size_t i = 0; i < n; ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return column[a] != column[b] ? column[a] < column[b] : a < b;
  });
  const auto squared = [&](std::size_t a, std::size_t b) {
    return (column[a] - column[b]) * (column[a] - column[b]);
  };
  for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
    while (end < n && column[order[end]] == column[order[begin]]) ++end;
    for (std::size_t p = begin; p < end; ++p) {
      const std::size_t i = order[p];
      if (end - begin > 1) {  // of the same value
        out[i] = order[begin] != i ? order[begin] : order[begin + 1];
        continue;
      }
      // The first index of the next value on either side. Different values may be equally near.
      std::size_t below = begin;
      while (below > 0 && column[order[below - 1]] == column[order[begin - 1]]) --below;
      if (begin == 0)
        out[i] = order[end];
      else if (end == n)
        out[i] = order[below];
      else {
        const double left = squared(i, order[below]), right = squared(i, order[end]);
        out[i] =
            left != right ? (left < right ? order[below] : order[end]) : std::min(order[below], order[end]);
      }
    }
  }
  return out;
}

double unconditional(const Ranks& r, const std::vector<std::size_t>& near) {
  const auto n = static_cast<double>(near.size());
  double top = 0, bottom = 0;
  for (std::size_t i = 0; i < near.size(); ++i) {
    top += n * std::min(r.below[i], r.below[near[i]]) - r.above[i] * r.above[i];
    bottom += r.above[i] * (n - r.above[i]);
  }
  return bottom > 0 ? top / bottom : 0;
}

double conditional(const Ranks& r, const std::vector<std::size_t>& near,
                   const std::vector<std::size_t>& near_given) {
  double top = 0, bottom = 0;
  for (std::size_t i = 0; i < near.size(); ++i) {
    const double given = std::min(r.below[i], r.below[near_given[i]]);
    top += std::min(r.below[i], r.below[near[i]]) - given;
    bottom += r.below[i] - given;
  }
  return bottom > 0 ? top / bottom : 0;
}

Distances distances_of(const Columns& x, const std::vector<std::int64_t>& columns) {
  Distances out(x.n);
  for (auto c : columns)
    if (const auto column = standardised(x, c); !column.empty()) out.add(column);
  return out;
}

}  // namespace

double dependence(const std::vector<double>& y, const Columns& x, const std::vector<std::int64_t>& columns) {
  return x.n < 2 ? 0 : unconditional(ranks_of(y), distances_of(x, columns).neighbours({}));
}

double conditional_dependence(const std::vector<double>& y, const Columns& x, std::int64_t column,
                              const std::vector<std::int64_t>& given) {
  if (x.n < 2) return 0;
  const Distances d = distances_of(x, given);
  return conditional(ranks_of(y), d.neighbours(standardised(x, column)), d.neighbours({}));
}

std::vector<std::int64_t> select_by_dependence(const std::vector<double>& y, const Columns& x,
                                               std::int64_t most) {
  std::vector<std::int64_t> chosen;
  if (x.n < 2) return chosen;
  const Ranks ranks = ranks_of(y);
  Distances distances(x.n);
  std::vector<bool> used(static_cast<std::size_t>(x.width), false);
  while (static_cast<std::int64_t>(chosen.size()) < most) {
    const auto given = chosen.empty() ? std::vector<std::size_t>() : distances.neighbours({});
    double best = 0;
    std::int64_t at = -1;
    std::vector<double> best_column;
    for (std::int64_t c = 0; c < x.width; ++c) {
      if (used[static_cast<std::size_t>(c)]) continue;
      auto column = standardised(x, c);
      if (column.empty()) continue;
      const auto near = chosen.empty() ? neighbours_in(column) : distances.neighbours(column);
      const double t = chosen.empty() ? unconditional(ranks, near) : conditional(ranks, near, given);
      if (t > best) best = t, at = c, best_column = std::move(column);
    }
    if (at < 0) break;
    chosen.push_back(at);
    used[static_cast<std::size_t>(at)] = true;
    distances.add(best_column);
  }
  return chosen;
}

}  // namespace expunge::stat
