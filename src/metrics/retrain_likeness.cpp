// How much an unlearned model's outputs look like those of the model retrained with the same seed. Retrain's
// outputs are in another store, so these columns are filled by `expunge reduce --recompute retrain_likeness`
// from kept outputs, and undefined in a run.
//
// Forget quality follows TOFU (Maini et al. 2024): the p-value of a two-sample Kolmogorov-Smirnov test, here
// of the per-sample losses on D_f. 1 = not to be told apart.
#include <cmath>
#include <span>

#include "core/error.hpp"
#include "core/numbers.hpp"
#include "metrics/metric.hpp"
#include "metrics/scores.hpp"
#include "stat/divergence.hpp"
#include "stat/two_samples.hpp"

namespace expunge::metrics {
namespace retrain_likeness {

struct Likeness {
  double js = kNan, variation = kNan, agreement = kNan;
};

Likeness likeness(const Inputs& in, const std::string& split) {
  const std::string reference = "retrain." + split;
  if (!has_logits(in, split) || !has_logits(in, reference)) return {};
  const Outputs &mine = in.get(split), &other = in.get(reference);
  const auto order = id_order(mine), theirs = id_order(other);
  const auto classes = static_cast<std::size_t>(mine.classes);
  EXPUNGE_CHECK(other.classes == mine.classes && order.size() == theirs.size(),
                "retrain's outputs on {} have {} samples of {} classes, the cell's {} of {}", split,
                theirs.size(), other.classes, order.size(), mine.classes);
  const auto log_p = log_probabilities(mine), log_q = log_probabilities(other);
  double js = 0, variation = 0;
  std::int64_t agreed = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    EXPUNGE_CHECK(
        mine.ids[static_cast<std::size_t>(order[i])] == other.ids[static_cast<std::size_t>(theirs[i])],
        "retrain was evaluated on other samples of {}", split);
    const auto p = std::span(log_p).subspan(i * classes, classes),
               q = std::span(log_q).subspan(i * classes, classes);
    js += stat::js(p, q, stat::Base::kTwo);
    for (std::size_t k = 0; k < classes; ++k) variation += 0.5 * std::fabs(std::exp(p[k]) - std::exp(q[k]));
    agreed += argmax(mine.row(order[i]), mine.classes) == argmax(other.row(theirs[i]), other.classes);
  }
  const auto n = static_cast<double>(order.size());
  return {js / n, variation / n, static_cast<double>(agreed) / n};
}

std::vector<double> losses(const Outputs& outputs) {
  if (outputs.answers) return entropy(outputs);  // of an answer: the mean loss of its tokens
  const auto log_p = log_probabilities(outputs);
  std::vector<double> out;
  for (const std::int64_t i : id_order(outputs)) {
    const auto label = static_cast<std::size_t>(outputs.labels[static_cast<std::size_t>(i)]);
    out.push_back(-log_p[out.size() * static_cast<std::size_t>(outputs.classes) + label]);
  }
  return out;
}

std::vector<Value> compute(const Inputs& in) {
  const Likeness forget = likeness(in, "forget"), test = likeness(in, "test");
  double quality = kNan, distance = kNan;
  if (usable(in, "forget") && usable(in, "retrain.forget")) {
    const auto ks = stat::kolmogorov_smirnov(losses(in.get("forget")), losses(in.get("retrain.forget")));
    quality = ks.p;
    distance = ks.distance;
  }
  return {{"retrain_js", forget.js},
          {"retrain_js_test", test.js},
          {"retrain_variation", forget.variation},
          {"retrain_agreement", forget.agreement},
          {"retrain_agreement_test", test.agreement},
          {"forget_quality", quality},
          {"forget_ks", distance}};
}

const RegisterMetric registered({
    .name = "retrain_likeness",
    .summary = "how like the outputs are to those of retrain with the same seed (reduce --recompute only)",
    .source = "methods.md 5.4; Maini et al. 2024",
    .columns = {{"retrain_js", "JS to retrain",
                 "mean Jensen-Shannon divergence (base 2) from retrain's outputs on D_f", -1, true},
                {"retrain_js_test", "JS to retrain, D_test", "the same on the test split", -1, true},
                {"retrain_variation", "TV to retrain", "mean total variation from retrain's outputs on D_f",
                 -1, true},
                {"retrain_agreement", "Agreement", "share of D_f on which the prediction is retrain's", 1,
                 true},
                {"retrain_agreement_test", "Agreement D_test", "the same on the test split", 1, true},
                {"forget_quality", "Forget quality",
                 "p-value of a Kolmogorov-Smirnov test of the losses on D_f against retrain's", 1, false},
                {"forget_ks", "KS", "the test's distance: largest difference of the two distributions", -1,
                 false}},
    .compute = compute,
});

}  // namespace retrain_likeness
}  // namespace expunge::metrics
