// Per-sample scores that the metrics share. All of them are in ascending id order, whatever the order of
// storage, so keyed draws and sums do not depend on it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "metrics/metric.hpp"

namespace expunge::metrics {

// Largest logit of a row, ties to the lowest class.
std::int64_t argmax(const float* row, std::int64_t classes);

// InternalError when the arrays disagree in size or a label is no class.
void check_shape(const Outputs& outputs);

// True when the split was gathered, is not empty and has finite numbers only; checks its shape.
bool usable(const Inputs& in, const std::string& split);
// The same, and its rows are logits: what whole distributions are read from.
bool has_logits(const Inputs& in, const std::string& split);

// Positions in ascending id order. InternalError when an id occurs twice.
std::vector<std::int64_t> id_order(const Outputs& outputs);

// p(label); of an answer the geometric mean over its tokens (methods.md 5.2).
std::vector<double> gold_probability(const Outputs& outputs);
// 1 where argmax is the label; of an answer the share of its tokens that were the likeliest.
std::vector<double> correctness(const Outputs& outputs);
// -sum p ln p, nats; of an answer its mean negative log-likelihood: what attacks on language models look at.
std::vector<double> entropy(const Outputs& outputs);

// Log softmax of every row, [n, classes].
std::vector<double> log_probabilities(const Outputs& outputs);

}  // namespace expunge::metrics
