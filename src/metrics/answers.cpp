// How well a language model knows the answers: perplexity, and the probability that TOFU reports.
#include <cmath>
#include <numeric>

#include "core/numbers.hpp"
#include "metrics/metric.hpp"
#include "metrics/scores.hpp"
#include "metrics/sums.hpp"

namespace expunge::metrics {
namespace answers {

bool answered(const Inputs& in, const std::string& split) {
  return usable(in, split) && in.get(split).answers;
}

// exp of the mean negative log-likelihood over the tokens of all answers.
double perplexity(const Inputs& in, const std::string& split) {
  if (!answered(in, split)) return kNan;
  const Sums sums = split_sums(in.get(split));
  return sums.count > 0 ? std::exp(sums.loss_sum / static_cast<double>(sums.count)) : kNan;
}

// Mean over answers of the geometric mean of their tokens' probabilities.
double probability(const Inputs& in, const std::string& split) {
  if (!answered(in, split)) return kNan;
  const auto p = gold_probability(in.get(split));
  return std::accumulate(p.begin(), p.end(), 0.0) / static_cast<double>(p.size());
}

std::vector<Value> compute(const Inputs& in) {
  return {{"perplexity_test", perplexity(in, "test")},     {"perplexity_forget", perplexity(in, "forget")},
          {"perplexity_retain", perplexity(in, "retain")}, {"answer_test", probability(in, "test")},
          {"answer_forget", probability(in, "forget")},    {"answer_retain", probability(in, "retain")}};
}

const RegisterMetric registered({
    .name = "answers",
    .summary = "perplexity and probability of the answers of a language model",
    .source = "Maini et al. 2024 (TOFU)",
    .columns = {{"perplexity_test", "PPL", "exp of the mean loss of the test answers' tokens", -1, false},
                {"perplexity_forget", "PPL D_f", "the same on the forget split", 1, false},
                {"perplexity_retain", "PPL D_r", "the same on the retain split", -1, false},
                {"answer_test", "P(answer)",
                 "mean over test answers of the geometric mean of their tokens' probabilities", 1, true},
                {"answer_forget", "P(answer) D_f", "the same on the forget split", -1, true},
                {"answer_retain", "P(answer) D_r", "the same on the retain split", 1, true}},
    .compute = compute,
});

}  // namespace answers
}  // namespace expunge::metrics
