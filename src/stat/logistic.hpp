// Logistic regression with an L2 penalty, by Newton's method. Deterministic: samples are visited in order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace expunge::stat {

struct LogisticOptions {
  double c =
      1.0;  // inverse penalty: minimises |w|^2 / 2 + c * sum_i weight_i * log(1 + exp(-t_i (w x_i + b)))
  bool standardise = true;   // features to zero mean and unit population deviation first; w is in those units
  bool balanced = false;     // class weights n / (2 n_class) instead of 1
  double tolerance = 1e-10;  // of the objective's gradient, largest entry, divided by c * n
  int max_iterations = 100;
};

// The intercept b is not penalised.
struct LogisticModel {
  std::vector<double> mean,
      deviation;  // per feature; 0 and 1 when not standardised; deviation 1 for a constant feature
  std::vector<double> weights;  // per feature, of the standardised features
  double intercept = 0;
  int iterations = 0;
  bool converged = false;

  double decision(std::span<const double> x) const;  // w x + b
  double probability(
      std::span<const double> x) const;  // sigmoid of the decision: of being in the positive class
};

// x: [n, features], row-major; positive[i] says the class. Both classes must occur and values be finite:
// InternalError.
LogisticModel fit_logistic(std::span<const double> x, std::int64_t features,
                           std::span<const std::uint8_t> positive, const LogisticOptions& options = {});

}  // namespace expunge::stat
