#include "stat/logistic.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"

namespace expunge::stat {
namespace {

double sigmoid(double z) {
  if (z >= 0) return 1 / (1 + std::exp(-z));
  const double e = std::exp(z);
  return e / (1 + e);
}

// log(1 + exp(z)) without overflow.
double softplus(double z) { return std::max(z, 0.0) + std::log1p(std::exp(-std::fabs(z))); }

// The problem in standardised units; a parameter vector is (w_0 ... w_{d-1}, b).
struct Problem {
  std::size_t samples, features;
  std::vector<double> x;       // [samples, features]
  std::vector<double> target;  // 1 or 0
  std::vector<double> weight;  // c times the class weight

  double decision(const std::vector<double>& beta, std::size_t i) const {
    double z = beta[features];
    for (std::size_t j = 0; j < features; ++j) z += beta[j] * x[i * features + j];
    return z;
  }

  double objective(const std::vector<double>& beta) const {
    double sum = 0;
    for (std::size_t j = 0; j < features; ++j) sum += 0.5 * beta[j] * beta[j];
    for (std::size_t i = 0; i < samples; ++i) {
      const double z = decision(beta, i);
      sum += weight[i] * softplus(target[i] > 0 ? -z : z);
    }
    return sum;
  }

  // Gradient and Hessian (lower triangle, row-major) at beta.
  void derivatives(const std::vector<double>& beta, std::vector<double>& gradient,
                   std::vector<double>& hessian) const {
    const std::size_t size = features + 1;
    gradient.assign(size, 0.0);
    hessian.assign(size * size, 0.0);
    std::vector<double> row(size, 1.0);
    for (std::size_t i = 0; i < samples; ++i) {
      std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(i * features), features, row.begin());
      const double p = sigmoid(decision(beta, i));
      const double slope = weight[i] * (p - target[i]), curvature = weight[i] * p * (1 - p);
      for (std::size_t a = 0; a < size; ++a) {
        gradient[a] += slope * row[a];
        for (std::size_t b = 0; b <= a; ++b) hessian[a * size + b] += curvature * row[a] * row[b];
      }
    }
    for (std::size_t j = 0; j < features; ++j) {
      gradient[j] += beta[j];
      hessian[j * size + j] += 1;
    }
  }
};

// Solves H s = g by Cholesky, H symmetric positive definite in its lower triangle (overwritten). A pivot that
// rounding brought to zero is raised: the step is then only damped by the line search.
std::vector<double> solve(std::vector<double>& h, std::vector<double> g) {
  const std::size_t n = g.size();
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = h[i * n + j];
      for (std::size_t k = 0; k < j; ++k) sum -= h[i * n + k] * h[j * n + k];
      h[i * n + j] = i == j ? std::sqrt(std::max(sum, 1e-12)) : sum / h[j * n + j];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) g[i] -= h[i * n + k] * g[k];
    g[i] /= h[i * n + i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) g[i] -= h[k * n + i] * g[k];
    g[i] /= h[i * n + i];
  }
  return g;
}

// Mean and population deviation of each feature, as scikit-learn's StandardScaler has them.
void measure(std::span<const double> x, std::size_t samples, LogisticModel& model) {
  const std::size_t features = model.mean.size();
  for (std::size_t j = 0; j < features; ++j) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < samples; ++i) sum += x[i * features + j];
    const double mean = sum / static_cast<double>(samples);
    for (std::size_t i = 0; i < samples; ++i)
      squares += (x[i * features + j] - mean) * (x[i * features + j] - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(samples));
    model.mean[j] = mean;
    // A deviation at the level of rounding means a constant feature.
    model.deviation[j] = deviation > 1e-14 * std::max(1.0, std::fabs(mean)) ? deviation : 1.0;
  }
}

void minimise(const Problem& problem, const LogisticOptions& options, LogisticModel& model) {
  std::vector<double> beta(problem.features + 1, 0.0), gradient, hessian;
  const double scale = options.c * static_cast<double>(problem.samples);
  double value = problem.objective(beta);
  for (; model.iterations < options.max_iterations; ++model.iterations) {
    problem.derivatives(beta, gradient, hessian);
    double largest = 0;
    for (const double g : gradient) largest = std::max(largest, std::fabs(g));
    if (largest <= options.tolerance * scale) {
      model.converged = true;
      break;
    }
    const std::vector<double> step = solve(hessian, gradient);
    // Halve the step until the objective does not rise by more than the rounding of its sum: Newton
    // overshoots on nearly separable classes.
    bool fell = false;
    for (double length = 1; length > 1e-10 && !fell; length /= 2) {
      std::vector<double> next = beta;
      for (std::size_t j = 0; j < next.size(); ++j) next[j] -= length * step[j];
      const double next_value = problem.objective(next);
      if (next_value <= value + 1e-12 * value) {
        beta = std::move(next);
        value = next_value;
        fell = true;
      }
    }
    if (!fell) break;
  }
  model.intercept = beta.back();
  beta.pop_back();
  model.weights = std::move(beta);
}

}  // namespace

double LogisticModel::decision(std::span<const double> x) const {
  double z = intercept;
  for (std::size_t j = 0; j < weights.size(); ++j) z += weights[j] * ((x[j] - mean[j]) / deviation[j]);
  return z;
}

double LogisticModel::probability(std::span<const double> x) const { return sigmoid(decision(x)); }

LogisticModel fit_logistic(std::span<const double> x, std::int64_t features,
                           std::span<const std::uint8_t> positive, const LogisticOptions& options) {
  const std::size_t samples = positive.size(), d = static_cast<std::size_t>(features);
  EXPUNGE_CHECK(x.size() == samples * d, "logistic regression: {} values for {} samples of {} features",
                x.size(), samples, features);
  const auto members =
      static_cast<std::size_t>(std::ranges::count_if(positive, [](auto p) { return p != 0; }));
  EXPUNGE_CHECK(members > 0 && members < samples,
                "logistic regression needs both classes, {} of {} are positive", members, samples);
  EXPUNGE_CHECK(std::ranges::all_of(x, [](double v) { return std::isfinite(v); }),
                "logistic regression: a feature is not finite");

  LogisticModel model;
  model.mean.assign(d, 0.0);
  model.deviation.assign(d, 1.0);
  if (options.standardise) measure(x, samples, model);

  Problem problem{samples, d, {}, {}, {}};
  const double half = 0.5 * static_cast<double>(samples);
  for (std::size_t i = 0; i < samples; ++i) {
    for (std::size_t j = 0; j < d; ++j)
      problem.x.push_back((x[i * d + j] - model.mean[j]) / model.deviation[j]);
    problem.target.push_back(positive[i] ? 1.0 : 0.0);
    const double balance = half / static_cast<double>(positive[i] ? members : samples - members);
    problem.weight.push_back(options.c * (options.balanced ? balance : 1.0));
  }
  minimise(problem, options, model);
  return model;
}

}  // namespace expunge::stat
