// Aggregates as the papers define them. Pure functions.
#pragma once

#include <span>

namespace expunge::stat {

// n / sum(1 / x); 0 when a value is 0, NaN when empty or a value is negative or NaN. MU-Bench's overall score
// is the harmonic mean of two.
double harmonic_mean(std::span<const double> values);

}  // namespace expunge::stat
