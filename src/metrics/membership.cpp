#include "metrics/membership.hpp"

#include <algorithm>

#include "core/rng.hpp"
#include "metrics/scores.hpp"

namespace expunge::metrics {
namespace {

constexpr std::int64_t kMaxMembers = 10000;
constexpr std::int64_t kMinValidation = 200;

// `count` keyed members of `values`, in random order.
std::vector<double> draw(const std::vector<double>& values, std::int64_t count, const Rng& rng) {
  std::vector<double> drawn;
  for (const std::int64_t i : rng.sample(count, static_cast<std::int64_t>(values.size())))
    drawn.push_back(values[static_cast<std::size_t>(i)]);
  return drawn;
}

bool has_validation(const Inputs& in, const std::string& prefix) {
  return usable(in, prefix + "val") && in.get(prefix + "val").size() >= kMinValidation;
}

}  // namespace

bool attackable(const Inputs& in, const std::string& prefix) {
  const bool unseen =
      has_validation(in, prefix) || (usable(in, prefix + "test") && in.get(prefix + "test").size() >= 2);
  return usable(in, prefix + "retain") && usable(in, prefix + "forget") && unseen;
}

Membership draw_membership(const Inputs& in, const std::string& prefix, Feature feature) {
  Membership out;
  const Rng rng(in.seed, "mia");
  const auto retained = feature(in.get(prefix + "retain"));
  std::vector<double> unseen;
  if (has_validation(in, prefix)) {
    unseen = feature(in.get(prefix + "val"));
    if (usable(in, prefix + "test")) out.held_out = feature(in.get(prefix + "test"));
  } else {
    const auto test = feature(in.get(prefix + "test"));
    unseen = draw(test, static_cast<std::int64_t>(test.size()), rng.sub("halves"));
    const auto half = unseen.begin() + static_cast<std::ptrdiff_t>(unseen.size() / 2);
    out.held_out.assign(half, unseen.end());
    unseen.erase(half, unseen.end());
  }
  const std::int64_t n = std::min(
      {static_cast<std::int64_t>(retained.size()), static_cast<std::int64_t>(unseen.size()), kMaxMembers});
  // The whole order begins with the sample of n: what follows was not fitted on.
  out.members = draw(retained, static_cast<std::int64_t>(retained.size()), rng.sub("members"));
  out.held_out_members.assign(out.members.begin() + n, out.members.end());
  out.members.resize(static_cast<std::size_t>(n));
  out.non_members = draw(unseen, n, rng.sub("non_members"));
  return out;
}

std::pair<std::vector<double>, std::vector<double>> control_sample(const Inputs& in, Feature feature) {
  const auto before = feature(in.get("original.retain")), after = feature(in.get("retain"));
  if (before.size() != after.size()) return {};
  const std::int64_t size = std::min(in.get("forget").size(), static_cast<std::int64_t>(after.size()));
  const Rng rng = Rng(in.seed, "mia").sub("control");
  return {draw(before, size, rng), draw(after, size, rng)};
}

}  // namespace expunge::metrics
