// Membership inference. The attacker is a logistic regression (feature standardised, C = 1) on one feature of
// the softmax output: entropy, or p(label) for the *_confidence column.
//
// Which samples it is fitted on: membership.hpp.
#include <algorithm>
#include <cmath>
#include <span>

#include "core/numbers.hpp"
#include "metrics/membership.hpp"
#include "metrics/metric.hpp"
#include "metrics/scores.hpp"
#include "stat/logistic.hpp"

namespace expunge::metrics {
namespace mia {

constexpr double kLeastProbability = 1e-3;

struct Attack {
  stat::LogisticModel model;
  Membership data;

  double probability(double x) const { return model.probability({&x, 1}); }

  // Share called members: a probability above one half.
  double success(const std::vector<double>& features) const {
    if (features.empty()) return kNan;
    const auto members = std::ranges::count_if(features, [&](double x) {
      return model.decision({&x, 1}) > 0;
    });
    return static_cast<double>(members) / static_cast<double>(features.size());
  }

  // Mean membership probability, each clipped to [1e-3, 1].
  double mean_probability(const std::vector<double>& features) const {
    double sum = 0;
    for (const double x : features) sum += std::clamp(probability(x), kLeastProbability, 1.0);
    return sum / static_cast<double>(features.size());
  }
};

// Fits on the outputs of one model; requires attackable().
Attack attack(const Inputs& in, const std::string& prefix, Feature feature) {
  Attack result;
  result.data = draw_membership(in, prefix, feature);
  std::vector<double> x = result.data.members;
  x.insert(x.end(), result.data.non_members.begin(), result.data.non_members.end());
  std::vector<std::uint8_t> member(x.size(), 0);
  std::fill_n(member.begin(), result.data.members.size(), std::uint8_t{1});
  result.model = stat::fit_logistic(x, 1, member);
  return result;
}

struct Ratios {
  double forget = kNan, retain = kNan;
};

// MultiDelete's prior-to-post ratio: one attacker, of the original model, on both models' outputs. On D_r a
// keyed sample of D_f's size is the control.
Ratios ratios(const Inputs& in) {
  if (!attackable(in, "original.") || !usable(in, "forget") || !usable(in, "retain")) return {};
  const Attack fitted = attack(in, "original.", entropy);
  const auto [before, after] = control_sample(in, entropy);
  Ratios result;
  result.forget = fitted.mean_probability(entropy(in.get("original.forget"))) /
                  fitted.mean_probability(entropy(in.get("forget")));
  result.retain = fitted.mean_probability(before) / fitted.mean_probability(after);
  return result;
}

std::vector<Value> compute(const Inputs& in) {
  double success = kNan, false_positive = kNan, retained = kNan, confidence = kNan;
  if (attackable(in, "")) {
    const Attack by_entropy = attack(in, "", entropy);
    success = by_entropy.success(entropy(in.get("forget")));
    false_positive = by_entropy.success(by_entropy.data.held_out);
    retained = by_entropy.success(by_entropy.data.held_out_members);
    confidence = attack(in, "", gold_probability).success(gold_probability(in.get("forget")));
  }
  const Ratios ratio = ratios(in);
  return {{"mia_success", success},         {"mia_false_positive", false_positive},
          {"mia_success_retain", retained}, {"mia_success_confidence", confidence},
          {"mia_ratio", ratio.forget},      {"mia_ratio_retain", ratio.retain}};
}

const RegisterMetric registered({
    .name = "mia",
    .summary = "membership inference by logistic regression on the softmax output",
    .source = "methods.md 5.3",
    .columns = {{"mia_success", "MIA",
                 "share of D_f that an attacker on the output's entropy calls training data", -1, true},
                {"mia_false_positive", "MIA false positives",
                 "the same share of held-out unseen samples: D_f at this rate looks unseen", 0, true},
                {"mia_success_retain", "MIA D_r",
                 "the same share of retained samples that the attacker was not fitted on: the control", 0,
                 true},
                {"mia_success_confidence", "MIA (confidence)",
                 "share of D_f called training data by an attacker on p(label)", -1, true},
                {"mia_ratio", "MI ratio",
                 "mean membership probability of D_f, before over after unlearning; attacker of the original",
                 1, false},
                {"mia_ratio_retain", "MI ratio D_r",
                 "the same ratio on retained samples: a high value is damage, not unlearning", 0, false}},
    .compute = compute,
});

}  // namespace mia
}  // namespace expunge::metrics
