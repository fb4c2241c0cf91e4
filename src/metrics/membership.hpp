// What the membership attackers share: which samples they are fitted on. The keys do not depend on the model
// or the feature.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "metrics/metric.hpp"

namespace expunge::metrics {

// Feature of every sample, in ascending id order.
using Feature = std::vector<double> (*)(const Outputs&);

// n members, a keyed subset of D_r, and n non-members, n = min(|D_r|, |non-members|, 10000). Non-members are
// the validation split where it has 200 samples or more, and test is then held out for the false-positive
// rate. Otherwise test is halved by key: one half is fitted on, the other held out. D_f is never fitted on.
struct Membership {
  std::vector<double> members, non_members;
  std::vector<double> held_out;          // unseen samples that are not fitted on
  std::vector<double> held_out_members;  // retained samples that are not fitted on
};

// `prefix`: "" (the unlearned model) or "original.".
bool attackable(const Inputs& in, const std::string& prefix);
// Requires attackable().
Membership draw_membership(const Inputs& in, const std::string& prefix, Feature feature);

// The control of the prior-to-post ratio: features of a keyed sample of D_r of D_f's size, of the original
// and of the unlearned model. Empty where the two saw different numbers of samples.
std::pair<std::vector<double>, std::vector<double>> control_sample(const Inputs& in, Feature feature);

}  // namespace expunge::metrics
