// A support vector classifier with the RBF kernel, and probabilities from its decisions. Deterministic:
// sequential minimal optimisation with the maximal violating pair and second-order choice of the partner
// (Fan, Chen, Lin 2005), samples in order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace expunge::stat {

struct SvmOptions {
  double c = 3;             // box constraint
  double gamma = 0;         // of exp(-gamma |x - y|^2); 0: 1 / number of features
  double tolerance = 1e-3;  // largest violation of the optimality conditions at the end
  std::int64_t max_iterations = 10000000;
};

struct SvmModel {
  std::int64_t features = 1;
  double gamma = 1, intercept = 0;
  std::vector<double> support;       // [m, features]
  std::vector<double> coefficients;  // alpha_i y_i
  std::int64_t iterations = 0;
  bool converged = false;
  double decision(std::span<const double> x) const;  // > 0: the positive class
};

// x: [n, features], row-major. Both classes must occur and values be finite: InternalError.
SvmModel fit_svm(std::span<const double> x, std::int64_t features, std::span<const std::uint8_t> positive,
                 const SvmOptions& options = {});

// Platt's sigmoid P(positive | d) = 1 / (1 + exp(a d + b)), fitted by Newton's method with backtracking to
// the smoothed targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2) (Lin, Lin, Weng 2007).
struct Sigmoid {
  double a = 0, b = 0;
  double probability(double decision) const;
};
Sigmoid fit_sigmoid(std::span<const double> decisions, std::span<const std::uint8_t> positive);

}  // namespace expunge::stat
