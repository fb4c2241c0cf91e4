// Standard deviations of published noise, from the guarantees' formulas. All arguments positive.
#pragma once

#include <cmath>

namespace expunge::methods {

// Descent-to-Delete (Neel et al. 2021), one deletion: n samples, I projected gradient steps on a loss that is
// L-Lipschitz, M-smooth and m-strongly convex, (epsilon, delta)-unlearning.
struct DescentToDelete {
  double samples, iterations, lipschitz, smoothness, convexity, epsilon, delta;
};
inline double noise_deviation(const DescentToDelete& d) {
  const double gamma = (d.smoothness - d.convexity) / (d.smoothness + d.convexity),
               shrunk = std::pow(gamma, d.iterations), log_delta = std::log(1 / d.delta);
  return 4 * std::sqrt(2.0) * d.lipschitz * shrunk /
         (d.convexity * d.samples * (1 - shrunk) * (std::sqrt(log_delta + d.epsilon) - std::sqrt(log_delta)));
}

// Newton removal (Sekhari et al. 2021), as L-CODEC uses it: `removed` of n samples, Hessian of Lipschitz
// constant M, gradients of Lipschitz constant L, damping lambda.
struct NewtonRemoval {
  double samples, removed, lambda, epsilon, delta, hessian_lipschitz = 0.25, lipschitz = 1;
};
inline double noise_deviation(const NewtonRemoval& r) {
  const double c = 2 * r.hessian_lipschitz * r.lipschitz * r.lipschitz * r.removed * r.removed /
                   (r.samples * r.samples * r.lambda * r.lambda * r.lambda);
  return c / r.epsilon * std::sqrt(2 * std::log(1.25 / r.delta));
}

}  // namespace expunge::methods
