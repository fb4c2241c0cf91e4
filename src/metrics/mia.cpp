// Membership inference. The attacker is a logistic regression (feature standardised, C = 1) on one feature of
// the softmax output: entropy, or p(label) for the *_confidence column.
//
// It is fitted on n members, a keyed subset of D_r, and n non-members, n = min(|D_r|, |non-members|, 10000).
// Non-members are the validation split where it has 200 samples or more, and test is then held out for the
// false-positive rate. Otherwise test is halved by key: one half is fitted on, the other held out. D_f is
// never fitted on.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "core/rng.hpp"
#include "metrics/metric.hpp"
#include "metrics/scores.hpp"
#include "stat/logistic.hpp"

namespace expunge::metrics {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kMaxMembers = 10000;
constexpr std::int64_t kMinValidation = 200;
constexpr double kLeastProbability = 1e-3;

using Feature = std::vector<double> (*)(const Outputs&);

struct Attack {
  stat::LogisticModel model;
  std::vector<double> held_out;  // feature of unseen samples that were not fitted on

  double probability(double x) const { return model.probability({&x, 1}); }

  // Share called members: a probability above one half.
  double success(const std::vector<double>& features) const {
    if (features.empty()) return kNaN;
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

// `count` keyed members of `values`, in random order.
std::vector<double> draw(const std::vector<double>& values, std::int64_t count, const Rng& rng) {
  std::vector<double> drawn;
  for (const std::int64_t i : rng.sample(count, static_cast<std::int64_t>(values.size())))
    drawn.push_back(values[static_cast<std::size_t>(i)]);
  return drawn;
}

// Which unseen samples exist. `prefix`: "" or "original."
bool has_validation(const Inputs& in, const std::string& prefix) {
  return usable(in, prefix + "val") && in.get(prefix + "val").size() >= kMinValidation;
}

bool attackable(const Inputs& in, const std::string& prefix) {
  const bool unseen =
      has_validation(in, prefix) || (usable(in, prefix + "test") && in.get(prefix + "test").size() >= 2);
  return usable(in, prefix + "retain") && usable(in, prefix + "forget") && unseen;
}

// Fits on the outputs of one model; requires attackable(). The keys do not depend on the model or the
// feature.
Attack attack(const Inputs& in, const std::string& prefix, Feature feature) {
  Attack result;
  const Rng rng(in.seed, "mia");
  const auto retained = feature(in.get(prefix + "retain"));
  std::vector<double> unseen;
  if (has_validation(in, prefix)) {
    unseen = feature(in.get(prefix + "val"));
    if (usable(in, prefix + "test")) result.held_out = feature(in.get(prefix + "test"));
  } else {
    const auto test = feature(in.get(prefix + "test"));
    unseen = draw(test, static_cast<std::int64_t>(test.size()), rng.sub("halves"));
    const auto half = unseen.begin() + static_cast<std::ptrdiff_t>(unseen.size() / 2);
    result.held_out.assign(half, unseen.end());
    unseen.erase(half, unseen.end());
  }
  const std::int64_t n = std::min(
      {static_cast<std::int64_t>(retained.size()), static_cast<std::int64_t>(unseen.size()), kMaxMembers});
  std::vector<double> x = draw(retained, n, rng.sub("members"));
  const std::vector<double> non_members = draw(unseen, n, rng.sub("non_members"));
  x.insert(x.end(), non_members.begin(), non_members.end());
  std::vector<std::uint8_t> member(static_cast<std::size_t>(2 * n), 0);
  std::fill_n(member.begin(), n, std::uint8_t{1});
  result.model = stat::fit_logistic(x, 1, member);
  return result;
}

struct Ratios {
  double forget = kNaN, retain = kNaN;
};

// MultiDelete's prior-to-post ratio: one attacker, of the original model, on both models' outputs. On D_r a
// keyed sample of D_f's size is the control.
Ratios ratios(const Inputs& in) {
  if (!attackable(in, "original.") || !usable(in, "forget") || !usable(in, "retain")) return {};
  const Attack fitted = attack(in, "original.", entropy);
  const auto before = entropy(in.get("original.retain")), after = entropy(in.get("retain"));
  const std::int64_t size = std::min(in.get("forget").size(), static_cast<std::int64_t>(after.size()));
  const Rng rng = Rng(in.seed, "mia").sub("control");
  Ratios result;
  result.forget = fitted.mean_probability(entropy(in.get("original.forget"))) /
                  fitted.mean_probability(entropy(in.get("forget")));
  if (before.size() == after.size())
    result.retain =
        fitted.mean_probability(draw(before, size, rng)) / fitted.mean_probability(draw(after, size, rng));
  return result;
}

std::vector<Value> compute(const Inputs& in) {
  double success = kNaN, false_positive = kNaN, confidence = kNaN;
  if (attackable(in, "")) {
    const Attack by_entropy = attack(in, "", entropy);
    success = by_entropy.success(entropy(in.get("forget")));
    false_positive = by_entropy.success(by_entropy.held_out);
    confidence = attack(in, "", gold_probability).success(gold_probability(in.get("forget")));
  }
  const Ratios ratio = ratios(in);
  return {{"mia_success", success},
          {"mia_false_positive", false_positive},
          {"mia_success_confidence", confidence},
          {"mia_ratio", ratio.forget},
          {"mia_ratio_retain", ratio.retain}};
}

const RegisterMetric registered({
    .name = "mia",
    .summary = "membership inference by logistic regression on the softmax output",
    .source = "methods.md 5.3",
    .columns = {{"mia_success", "MIA",
                 "share of D_f that an attacker on the output's entropy calls training data", -1, true},
                {"mia_false_positive", "MIA false positives",
                 "the same share of held-out unseen samples: D_f at this rate looks unseen", 0, true},
                {"mia_success_confidence", "MIA (confidence)",
                 "share of D_f called training data by an attacker on p(label)", -1, true},
                {"mia_ratio", "MI ratio",
                 "mean membership probability of D_f, before over after unlearning; attacker of the original",
                 1, false},
                {"mia_ratio_retain", "MI ratio D_r",
                 "the same ratio on retained samples: a high value is damage, not unlearning", 0, false}},
    .compute = compute,
});

}  // namespace
}  // namespace expunge::metrics
