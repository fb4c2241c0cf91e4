#include "stat/svm.hpp"

#include <algorithm>
#include <cmath>
#include <list>
#include <unordered_map>

#include "core/error.hpp"
#include "core/numbers.hpp"

namespace expunge::stat {
namespace {

constexpr double kTau = 1e-12;
constexpr std::size_t kCachedValues = 32 << 20;  // floats of kernel rows that are kept

// Kernel rows, least recently used out first.
class Kernel {
 public:
  Kernel(std::span<const double> x, std::size_t features, double gamma)
      : x_(x), features_(features), n_(x.size() / features), gamma_(gamma) {}
  std::size_t size() const { return n_; }

  const std::vector<float>& row(std::size_t i) {
    if (const auto found = where_.find(i); found != where_.end()) {
      rows_.splice(rows_.begin(), rows_, found->second);
      return rows_.front().second;
    }
    if (rows_.size() >= std::max<std::size_t>(2, kCachedValues / n_)) {
      where_.erase(rows_.back().first);
      rows_.pop_back();
    }
    std::vector<float> values(n_);
    for (std::size_t j = 0; j < n_; ++j) {
      double d = 0;
      for (std::size_t f = 0; f < features_; ++f) {
        const double step = x_[i * features_ + f] - x_[j * features_ + f];
        d += step * step;
      }
      values[j] = static_cast<float>(std::exp(-gamma_ * d));
    }
    rows_.emplace_front(i, std::move(values));
    where_[i] = rows_.begin();
    return rows_.front().second;
  }

 private:
  std::span<const double> x_;
  std::size_t features_, n_;
  double gamma_;
  std::list<std::pair<std::size_t, std::vector<float>>> rows_;
  std::unordered_map<std::size_t, decltype(rows_)::iterator> where_;
};

// min 1/2 a'Qa - e'a, 0 <= a <= c, y'a = 0, with Q_ij = y_i y_j K_ij; gradient = Qa - e.
class Solver {
 public:
  Solver(Kernel& kernel, std::span<const std::uint8_t> positive, const SvmOptions& options)
      : kernel_(kernel), options_(options), alpha_(kernel.size(), 0), gradient_(kernel.size(), -1) {
    for (const auto p : positive) y_.push_back(p ? 1 : -1);
  }

  void solve() {
    std::size_t i = 0, j = 0;
    while (iterations_ < options_.max_iterations) {
      if (!choose(i, j)) {
        converged_ = true;
        return;
      }
      ++iterations_;
      step(i, j);
    }
  }

  // The threshold: mean over free vectors, else the middle of what the conditions allow.
  double intercept() const {
    double low = -kInfinity, high = kInfinity, sum = 0;
    std::int64_t free = 0;
    for (std::size_t t = 0; t < y_.size(); ++t) {
      const double v = y_[t] * gradient_[t];
      if (alpha_[t] > 0 && alpha_[t] < options_.c) {
        sum += v;
        ++free;
      } else if ((alpha_[t] == 0) == (y_[t] > 0)) {
        high = std::min(high, v);
      } else {
        low = std::max(low, v);
      }
    }
    return free > 0 ? -sum / static_cast<double>(free) : -(low + high) / 2;
  }

  double coefficient(std::size_t t) const { return alpha_[t] * y_[t]; }
  std::int64_t iterations() const { return iterations_; }
  bool converged() const { return converged_; }

 private:
  bool in_up(std::size_t t) const { return y_[t] > 0 ? alpha_[t] < options_.c : alpha_[t] > 0; }
  bool in_low(std::size_t t) const { return y_[t] > 0 ? alpha_[t] > 0 : alpha_[t] < options_.c; }

  // False when no pair violates the conditions by more than the tolerance.
  bool choose(std::size_t& i, std::size_t& j) {
    double up = -kInfinity, low = kInfinity;
    for (std::size_t t = 0; t < y_.size(); ++t)
      if (in_up(t) && -y_[t] * gradient_[t] > up) {
        up = -y_[t] * gradient_[t];
        i = t;
      }
    if (up == -kInfinity) return false;
    const auto& row = kernel_.row(i);
    double best = kInfinity;
    for (std::size_t t = 0; t < y_.size(); ++t) {
      if (!in_low(t)) continue;
      const double v = -y_[t] * gradient_[t];
      low = std::min(low, v);
      const double gap = up - v;
      if (gap <= 0) continue;
      const double curvature = std::max(kTau, 2 - 2 * static_cast<double>(row[t]));
      if (const double gain = -gap * gap / curvature; gain < best) {
        best = gain;
        j = t;
      }
    }
    return up - low >= options_.tolerance && best < kInfinity;
  }

  void step(std::size_t i, std::size_t j) {
    const std::vector<float> row_i = kernel_.row(i);  // a copy: the second row may evict it
    const auto& row_j = kernel_.row(j);
    const double curvature = std::max(kTau, 2 - 2 * static_cast<double>(row_i[j]));
    const double wish = (-y_[i] * gradient_[i] + y_[j] * gradient_[j]) / curvature;
    const double old_i = alpha_[i], old_j = alpha_[j];
    // Along y_i da_i = -y_j da_j = move, both inside the box.
    const auto room = [&](std::size_t t, double sign) {
      return y_[t] * sign > 0 ? options_.c - alpha_[t] : alpha_[t];
    };
    const double move = std::min({wish, room(i, 1), room(j, -1)});
    set(i, old_i + y_[i] * move);
    set(j, old_j - y_[j] * move);
    const double di = (alpha_[i] - old_i) * y_[i], dj = (alpha_[j] - old_j) * y_[j];
    for (std::size_t t = 0; t < y_.size(); ++t)
      gradient_[t] += y_[t] * (di * static_cast<double>(row_i[t]) + dj * static_cast<double>(row_j[t]));
  }

  void set(std::size_t t, double value) {
    // Bounds are exact values, so that the sets above are decided without a tolerance.
    alpha_[t] = value < 1e-12 * options_.c ? 0 : value > options_.c * (1 - 1e-12) ? options_.c : value;
  }

  Kernel& kernel_;
  const SvmOptions& options_;
  std::vector<double> y_, alpha_, gradient_;
  std::int64_t iterations_ = 0;
  bool converged_ = false;
};

}  // namespace

double SvmModel::decision(std::span<const double> x) const {
  double out = intercept;
  const auto width = static_cast<std::size_t>(features);
  for (std::size_t m = 0; m < coefficients.size(); ++m) {
    double d = 0;
    for (std::size_t f = 0; f < width; ++f) {
      const double step = x[f] - support[m * width + f];
      d += step * step;
    }
    out += coefficients[m] * std::exp(-gamma * d);
  }
  return out;
}

SvmModel fit_svm(std::span<const double> x, std::int64_t features, std::span<const std::uint8_t> positive,
                 const SvmOptions& options) {
  EXPUNGE_CHECK(features > 0 && x.size() == positive.size() * static_cast<std::size_t>(features),
                "{} values for {} samples of {} features", x.size(), positive.size(), features);
  const auto ones = std::ranges::count_if(positive, [](auto p) { return p != 0; });
  EXPUNGE_CHECK(ones > 0 && ones < std::ssize(positive), "only one class among {} samples", positive.size());
  EXPUNGE_CHECK(std::ranges::all_of(x, [](double v) { return std::isfinite(v); }), "a feature is not finite");
  SvmModel out;
  out.features = features;
  out.gamma = options.gamma > 0 ? options.gamma : 1 / static_cast<double>(features);
  Kernel kernel(x, static_cast<std::size_t>(features), out.gamma);
  Solver solver(kernel, positive, options);
  solver.solve();
  out.intercept = solver.intercept();
  out.iterations = solver.iterations();
  out.converged = solver.converged();
  for (std::size_t t = 0; t < positive.size(); ++t) {
    if (solver.coefficient(t) == 0) continue;
    out.coefficients.push_back(solver.coefficient(t));
    const auto row = x.subspan(t * static_cast<std::size_t>(features), static_cast<std::size_t>(features));
    out.support.insert(out.support.end(), row.begin(), row.end());
  }
  return out;
}

double Sigmoid::probability(double decision) const {
  const double z = a * decision + b;
  return z >= 0 ? std::exp(-z) / (1 + std::exp(-z)) : 1 / (1 + std::exp(z));
}

Sigmoid fit_sigmoid(std::span<const double> decisions, std::span<const std::uint8_t> positive) {
  EXPUNGE_CHECK(decisions.size() == positive.size(), "{} decisions for {} samples", decisions.size(),
                positive.size());
  double plus = 0;
  for (const auto p : positive) plus += p ? 1 : 0;
  const double minus = static_cast<double>(positive.size()) - plus;
  const double high = (plus + 1) / (plus + 2), low = 1 / (minus + 2);
  Sigmoid fit{0, std::log((minus + 1) / (plus + 1))};
  const auto target = [&](std::size_t i) { return positive[i] ? high : low; };
  const auto loss = [&](const Sigmoid& s) {
    double sum = 0;
    for (std::size_t i = 0; i < decisions.size(); ++i) {
      const double z = s.a * decisions[i] + s.b;
      sum +=
          z >= 0 ? target(i) * z + std::log1p(std::exp(-z)) : (target(i) - 1) * z + std::log1p(std::exp(z));
    }
    return sum;
  };
  double value = loss(fit);
  for (int iteration = 0; iteration < 100; ++iteration) {
    double haa = 1e-12, hbb = 1e-12, hab = 0, ga = 0, gb = 0;
    for (std::size_t i = 0; i < decisions.size(); ++i) {
      const double p = fit.probability(decisions[i]), w = p * (1 - p), d = target(i) - p;
      haa += decisions[i] * decisions[i] * w;
      hbb += w;
      hab += decisions[i] * w;
      ga += decisions[i] * d;
      gb += d;
    }
    if (std::abs(ga) < 1e-9 && std::abs(gb) < 1e-9) break;
    const double determinant = haa * hbb - hab * hab;
    const double da = -(hbb * ga - hab * gb) / determinant, db = -(haa * gb - hab * ga) / determinant;
    const double slope = ga * da + gb * db;
    double size = 1;
    for (; size >= 1e-10; size /= 2) {
      const Sigmoid next{fit.a + size * da, fit.b + size * db};
      if (const double at = loss(next); at < value + 1e-4 * size * slope) {
        fit = next;
        value = at;
        break;
      }
    }
    if (size < 1e-10) break;
  }
  return fit;
}

}  // namespace expunge::stat
