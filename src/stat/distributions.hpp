// Distribution functions that the tests of this layer need. Pure functions; NaN outside their domain.
#pragma once

namespace expunge::stat {

double normal_probability(double z);  // P(Z <= z)
// Inverse of the above for `probability` in (0, 1): Acklam's rational approximation and one Halley step.
double normal_quantile(double probability);

// P(X > x) of chi-squared with `freedom` > 0: series or continued fraction of the incomplete gamma function
// (DLMF 8.7.1, 8.9.2).
double chi_squared_tail(double x, double freedom);

// P(F > f) of Fisher's F with (between, within) degrees of freedom.
double f_tail(double f, double between, double within);

// P(K > x) of the Kolmogorov distribution (DLMF 20.12: a theta function), the limit of sqrt(n) D.
double kolmogorov_tail(double x);

}  // namespace expunge::stat
