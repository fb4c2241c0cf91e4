// The two-sample Kolmogorov-Smirnov test. Pure functions.
#pragma once

#include <span>

namespace expunge::stat {

struct KolmogorovSmirnov {
  double distance;  // largest difference of the two empirical distributions
  double p;         // two-sided
  bool exact;
};

// Exact for samples of one size up to 10,000 (Gnedenko and Korolyuk 1951: the reflection sum), else the
// asymptotic Kolmogorov distribution of sqrt(ab / (a + b)) D. NaN when a sample is empty or holds NaN.
KolmogorovSmirnov kolmogorov_smirnov(std::span<const double> a, std::span<const double> b);

}  // namespace expunge::stat
