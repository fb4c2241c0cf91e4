// D_f against D_r as a ranking problem: D_r is label 1, D_f label 0, so higher means that the model scores
// retained data higher. Subsets of D_r have the size of D_f (all of D_r where it is smaller).
#include <algorithm>
#include <span>

#include "core/numbers.hpp"
#include "metrics/metric.hpp"
#include "metrics/scores.hpp"
#include "stat/rank.hpp"

namespace expunge::metrics {
namespace auc {

constexpr std::int64_t kResamples = 500;  // MU-Bench
constexpr std::size_t kChunks = 5;        // MultiDelete

std::vector<double> column(const std::vector<double>& log_p, std::size_t classes, std::size_t which) {
  std::vector<double> values;
  values.reserve(log_p.size() / classes);
  for (std::size_t at = which; at < log_p.size(); at += classes) values.push_back(log_p[at]);
  return values;
}

// MultiDelete: no resampling, but up to 5 disjoint consecutive chunks of D_r in id order; the score is the
// probability of class 1 of two, else each class's in turn, averaged. Logarithms rank like the probabilities,
// without underflow.
double class_probability_auc(const Outputs& retain, const Outputs& forget) {
  const auto classes = static_cast<std::size_t>(forget.classes);
  if (forget.answers || classes < 2 || retain.classes != forget.classes) return kNan;
  const auto retain_log_p = log_probabilities(retain), forget_log_p = log_probabilities(forget);
  const std::size_t size = std::min(forget.ids.size(), retain.ids.size());
  const std::size_t chunks = std::min(kChunks, retain.ids.size() / size);
  double sum = 0;
  std::size_t terms = 0;
  for (std::size_t k = classes == 2 ? 1 : 0; k < classes; ++k) {
    const auto retained = column(retain_log_p, classes, k), deleted = column(forget_log_p, classes, k);
    for (std::size_t chunk = 0; chunk < chunks; ++chunk, ++terms)
      sum += stat::auc(std::span(retained).subspan(chunk * size, size), deleted);
  }
  return sum / static_cast<double>(terms);
}

std::vector<Value> compute(const Inputs& in) {
  stat::Resampled gold{kNan, kNan}, correct{kNan, kNan};
  double class_probability = kNan;
  if (usable(in, "forget") && usable(in, "retain")) {
    const Outputs &retain = in.get("retain"), &forget = in.get("forget");
    const Rng rng(in.seed, "auc");
    gold = stat::resampled_auc(gold_probability(retain), gold_probability(forget), kResamples, rng);
    correct = stat::resampled_auc(correctness(retain), correctness(forget), kResamples, rng);
    class_probability = class_probability_auc(retain, forget);
  }
  return {{"auc_gold_prob", gold.mean},
          {"auc_gold_prob_sd", gold.deviation},
          {"auc_correct", correct.mean},
          {"auc_class_prob", class_probability},
          {"auc_down", 1 - gold.mean}};
}

const RegisterMetric registered({
    .name = "auc",
    .summary = "how well the model's scores tell retained from deleted samples (D_f|D_r)",
    .source = "methods.md 5.2",
    .columns =
        {{"auc_gold_prob", "AUC",
          "probability that a retained sample's p(label) exceeds a deleted one's; mean of 500 resamples", 1,
          true},
         {"auc_gold_prob_sd", "AUC sd", "standard deviation of the AUC over the resamples", 0, true},
         {"auc_correct", "AUC (correct)", "the same with correctness as the score (MU-Bench)", 1, true},
         {"auc_class_prob", "AUC (class)",
          "the same with class probabilities, 5 disjoint chunks of D_r (MultiDelete)", 1, true},
         {"auc_down", "1 - AUC", "1 minus the AUC of p(label)", -1, true}},
    .compute = compute,
});

}  // namespace auc
}  // namespace expunge::metrics
