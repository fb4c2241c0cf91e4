// Divergences of discrete distributions, computed from natural log-probabilities in double so that confident
// softmax outputs lose nothing. A probability of zero is a log of -inf. Spans of one call have the same
// length.
#pragma once

#include <span>
#include <vector>

namespace expunge::stat {

enum class Base { kTwo, kNatural };

// log softmax of one row of logits, by the log-sum-exp of the differences to the largest. NaN throughout when
// a logit is NaN or +inf.
std::vector<double> log_softmax(std::span<const float> logits);
// The same into `out` (same length), for loops over many rows.
void log_softmax(std::span<const float> logits, std::span<double> out);

// KL(p || q) = sum p ln(p / q); terms with p = 0 are 0, +inf where q = 0 < p.
double kl(std::span<const double> log_p, std::span<const double> log_q, Base base = Base::kNatural);

// JS(p, q) = KL(p || m) / 2 + KL(q || m) / 2, m = (p + q) / 2 (Lin 1991). In [0, 1] for base 2, [0, ln 2] for
// base e; exactly 0 for p = q.
double js(std::span<const double> log_p, std::span<const double> log_q, Base base);

// -sum p ln p, nats.
double entropy(std::span<const double> log_p);

}  // namespace expunge::stat
