#include "stat/ensembles.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.hpp"
#include "stat/intervals.hpp"

namespace expunge::stat {
namespace {

constexpr std::size_t kBins = 20;
constexpr double kMostMargin = 100, kLeastShare = 1e-5;

using Shares = std::array<double, kBins>;

Shares shares_of(std::span<const double> values, double low, double high) {
  Shares out{};
  for (const double v : values) {
    const double at = (std::clamp(v, -kMostMargin, kMostMargin) - low) / (high - low) * kBins;
    out[std::min(kBins - 1, static_cast<std::size_t>(at))] += 1 / static_cast<double>(values.size());
  }
  double sum = 0;
  for (double& share : out) sum += share += kLeastShare;
  for (double& share : out) share /= sum;
  return out;
}

struct Normal {
  double mean, deviation;
  double log_density(double x) const {
    const double z = (x - mean) / deviation;
    return -0.5 * z * z - std::log(deviation);
  }
};

// Fitted to all values but the one at `without`.
Normal fit(std::span<const double> values, std::size_t without, double floor) {
  std::vector<double> rest;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (i != without) rest.push_back(values[i]);
  return {mean(rest), std::max(floor, sample_deviation(rest))};
}

}  // namespace

double klom(std::span<const double> retrained, std::span<const double> unlearned) {
  EXPUNGE_CHECK(!retrained.empty() && !unlearned.empty(), "KLoM needs models of both kinds");
  double low = kMostMargin, high = -kMostMargin;
  for (const auto& values : {retrained, unlearned})
    for (const double v : values) {
      low = std::min(low, std::clamp(v, -kMostMargin, kMostMargin));
      high = std::max(high, std::clamp(v, -kMostMargin, kMostMargin));
    }
  if (!(high > low)) return 0;
  const Shares p = shares_of(retrained, low, high), q = shares_of(unlearned, low, high);
  double out = 0;
  for (std::size_t b = 0; b < kBins; ++b) out += p[b] * std::log(p[b] / q[b]);
  return std::max(0.0, out);
}

LikelihoodRatios likelihood_ratios(std::span<const double> unlearned, std::span<const double> retrained,
                                   double floor) {
  EXPUNGE_CHECK(unlearned.size() >= 3 && retrained.size() >= 3, "U-LiRA needs three models of each kind");
  // Both fits leave out the model's place, so they are of one size and independent of the tested score:
  // without a difference between the kinds the ratio is symmetric about 0.
  LikelihoodRatios out;
  for (std::size_t i = 0; i < unlearned.size(); ++i)
    out.unlearned.push_back(fit(unlearned, i, floor).log_density(unlearned[i]) -
                            fit(retrained, i, floor).log_density(unlearned[i]));
  for (std::size_t i = 0; i < retrained.size(); ++i)
    out.retrained.push_back(fit(unlearned, i, floor).log_density(retrained[i]) -
                            fit(retrained, i, floor).log_density(retrained[i]));
  return out;
}

}  // namespace expunge::stat
