// MU-Bench's overall score of one unlearned model, from accuracies (fractions).
#pragma once

namespace expunge::metrics {

struct OverallScore {
  double gated, ungated;
};

// a = 1 - |test - original|, b = 1 - |forget - random|, ungated = 2ab / (a + b). Gated is 0 where
// |test - original| / original > test_gate, or forget lies below random by more than 20 % of it. NaN where an
// input is NaN or `original_test` is not positive.
OverallScore overall_score(double test, double original_test, double forget, double random, double test_gate);

}  // namespace expunge::metrics
