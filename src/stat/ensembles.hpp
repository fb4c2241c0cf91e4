// Tests that compare an ensemble of unlearned models with one of retrained models, sample by sample. Pure
// functions of per-model numbers.
#pragma once

#include <span>
#include <vector>

namespace expunge::stat {

// KLoM (Georgiev et al. 2024, E.1; EasyDUB 2026): KL(retrained || unlearned) of one sample's margins over the
// models. Margins are clipped to [-100, 100] and counted in 20 equal bins from the least to the greatest of
// both sets; every share is raised by 1e-5 and the shares scaled to sum to 1. 0 when all margins are equal.
double klom(std::span<const double> retrained, std::span<const double> unlearned);

// U-LiRA (Hayes et al. 2024): is a sample's score from an unlearned or from a retrained model? For each model
// in turn normal distributions are fitted to the scores of both kinds without the model's place, and its log
// likelihood ratio log N(s; unlearned) - log N(s; retrained) is taken. Needs three models of each kind; a
// deviation is at least `floor`.
struct LikelihoodRatios {
  std::vector<double> unlearned, retrained;  // one a model, in order
};
LikelihoodRatios likelihood_ratios(std::span<const double> unlearned, std::span<const double> retrained,
                                   double floor = 1e-3);

}  // namespace expunge::stat
