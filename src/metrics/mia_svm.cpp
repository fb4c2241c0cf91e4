// Membership inference with the support vector attacker of the unlearning literature (RBF kernel, C = 3,
// gamma = 1, the entropy of the softmax output unscaled). Samples are drawn as for `mia`, so that the two
// attackers see the same data. Probabilities are Platt's, fitted to decisions of 5-fold cross-validation.
#include <algorithm>
#include <cmath>
#include <span>

#include "core/numbers.hpp"
#include "core/rng.hpp"
#include "metrics/membership.hpp"
#include "metrics/metric.hpp"
#include "metrics/scores.hpp"
#include "stat/svm.hpp"

namespace expunge::metrics {
namespace mia_svm {

constexpr double kLeastProbability = 1e-3;
constexpr std::size_t kFolds = 5;

double success(const stat::SvmModel& model, const std::vector<double>& features) {
  if (features.empty()) return kNan;
  const auto members = std::ranges::count_if(features, [&](double x) { return model.decision({&x, 1}) > 0; });
  return static_cast<double>(members) / static_cast<double>(features.size());
}

// Decisions of models that did not see the sample; sample i of each class is in fold i mod 5.
stat::Sigmoid calibrate(const Membership& m) {
  std::vector<double> decisions;
  std::vector<std::uint8_t> member;
  for (std::size_t fold = 0; fold < kFolds; ++fold) {
    std::vector<double> x, held;
    std::vector<std::uint8_t> y, held_y;
    for (std::size_t side = 0; side < 2; ++side) {
      const auto& values = side ? m.members : m.non_members;
      for (std::size_t i = 0; i < values.size(); ++i) {
        (i % kFolds == fold ? held : x).push_back(values[i]);
        (i % kFolds == fold ? held_y : y).push_back(static_cast<std::uint8_t>(side));
      }
    }
    const auto model = stat::fit_svm(x, 1, y);
    for (const double v : held) decisions.push_back(model.decision({&v, 1}));
    member.insert(member.end(), held_y.begin(), held_y.end());
  }
  return stat::fit_sigmoid(decisions, member);
}

stat::SvmModel fit(const Membership& m) {
  std::vector<double> x = m.members;
  x.insert(x.end(), m.non_members.begin(), m.non_members.end());
  std::vector<std::uint8_t> y(x.size(), 0);
  std::fill_n(y.begin(), m.members.size(), std::uint8_t{1});
  return stat::fit_svm(x, 1, y);
}

struct Ratios {
  double forget = kNan, retain = kNan;
};

// One attacker, of the original model, on both models' outputs; as in `mia`.
Ratios ratios(const Inputs& in) {
  if (!attackable(in, "original.") || !usable(in, "forget") || !usable(in, "retain")) return {};
  const Membership m = draw_membership(in, "original.", entropy);
  if (m.members.size() < kFolds) return {};
  const auto model = fit(m);
  const auto sigmoid = calibrate(m);
  const auto mean_probability = [&](const std::vector<double>& features) {
    double sum = 0;
    for (const double x : features)
      sum += std::clamp(sigmoid.probability(model.decision({&x, 1})), kLeastProbability, 1.0);
    return sum / static_cast<double>(features.size());
  };
  const auto [before, after] = control_sample(in, entropy);
  return {mean_probability(entropy(in.get("original.forget"))) / mean_probability(entropy(in.get("forget"))),
          mean_probability(before) / mean_probability(after)};
}

std::vector<Value> compute(const Inputs& in) {
  double forget = kNan, unseen = kNan, retained = kNan;
  if (attackable(in, "")) {
    const Membership m = draw_membership(in, "", entropy);
    const auto model = fit(m);
    forget = success(model, entropy(in.get("forget")));
    unseen = success(model, m.held_out);
    retained = success(model, m.held_out_members);
  }
  const Ratios ratio = ratios(in);
  return {{"mia_svm_success", forget},
          {"mia_svm_false_positive", unseen},
          {"mia_svm_success_retain", retained},
          {"mia_svm_ratio", ratio.forget},
          {"mia_svm_ratio_retain", ratio.retain}};
}

const RegisterMetric registered({
    .name = "mia_svm",
    .summary = "membership inference by a support vector classifier (RBF) on the output's entropy",
    .source = "methods.md 5.3",
    .columns = {{"mia_svm_success", "MIA (SVM)", "share of D_f that the attacker calls training data", -1,
                 true},
                {"mia_svm_false_positive", "MIA (SVM) false positives",
                 "the same share of held-out unseen samples", 0, true},
                {"mia_svm_success_retain", "MIA (SVM) D_r",
                 "the same share of retained samples the attacker was not fitted on: the control", 0, true},
                {"mia_svm_ratio", "MI ratio (SVM)",
                 "mean membership probability of D_f, before over after unlearning; attacker of the original",
                 1, false},
                {"mia_svm_ratio_retain", "MI ratio (SVM) D_r",
                 "the same ratio on retained samples: a high value is damage, not unlearning", 0, false}},
    .compute = compute,
});

}  // namespace mia_svm
}  // namespace expunge::metrics
