#include "stat/scaling_model.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/error.hpp"

namespace expunge::stat {
namespace {

// Rounds of a tree over n members.
double rounds(int n) { return n <= 1 ? 0 : std::bit_width(static_cast<unsigned>(n - 1)); }

double message(const Link& link, double bytes) { return link.latency + bytes * link.per_byte; }

struct Nodes {
  int inside, count;  // ranks of a node; nodes
};
Nodes nodes_of(const Topology& topology, int ranks) {
  EXPUNGE_CHECK(topology.ranks_per_node >= 1 && ranks >= 1, "{} ranks on nodes of {}", ranks,
                topology.ranks_per_node);
  const int inside = std::min(ranks, topology.ranks_per_node);
  return {inside, (ranks + inside - 1) / inside};
}

}  // namespace

StepShares share_step(std::span<const RankStep> ranks) {
  StepShares out;
  if (ranks.empty()) return out;
  double step = 0, most = 0, busy = 0;
  for (const auto& r : ranks) {
    step = std::max(step, r.step);
    most = std::max(most, r.busy);
    busy += r.busy / static_cast<double>(ranks.size());
    out.input += r.input / static_cast<double>(ranks.size());
  }
  out.compute = busy - out.input;
  out.imbalance = most - busy;
  out.communication = step - most;
  return out;
}

LinkFit fit_link(std::span<const SumTiming> timings) {
  LinkFit out;
  // Relative errors: a(i) latency + b(i) per_byte should be 1.
  double aa = 0, ab = 0, bb = 0, a1 = 0, b1 = 0;
  const auto terms = [](const SumTiming& t) {
    const double messages = 2.0 * (t.ranks - 1);
    return std::pair{messages / t.seconds, messages / t.ranks * t.bytes / t.seconds};
  };
  const auto counts = [](const SumTiming& t) { return t.ranks > 1 && t.seconds > 0; };
  for (const auto& t : timings) {
    if (!counts(t)) continue;
    ++out.count;
    const auto [a, b] = terms(t);
    aa += a * a, ab += a * b, bb += b * b, a1 += a, b1 += b;
  }
  if (out.count == 0) return out;
  const double determinant = aa * bb - ab * ab;
  if (determinant > 1e-12 * aa * bb) {
    out.link = {(a1 * bb - b1 * ab) / determinant, (b1 * aa - a1 * ab) / determinant};
  } else {
    out.link = {0, bb > 0 ? b1 / bb : 0};
  }
  // The best point of the allowed quarter lies on its border where the free one lies outside.
  if (out.link.latency < 0) out.link = {0, b1 / bb};
  if (out.link.per_byte < 0) out.link = {a1 / aa, 0};
  for (const auto& t : timings)
    if (counts(t)) {
      const auto [a, b] = terms(t);
      out.worst = std::max(out.worst, std::abs(a * out.link.latency + b * out.link.per_byte - 1));
    }
  return out;
}

double sum_seconds(SumForm form, const Topology& topology, int ranks, double bytes) {
  const auto [inside, nodes] = nodes_of(topology, ranks);
  if (ranks == 1) return 0;
  const Link &in = topology.inside, &out = topology.across;
  if (form == SumForm::kTree)
    return 2 * (rounds(inside) * message(in, bytes) + rounds(nodes) * message(out, bytes));
  if (form == SumForm::kRing) {
    const double slice = bytes / ranks;
    if (nodes == 1) return 2 * (ranks - 1) * message(in, slice);
    // The exchange: every rank of a node sends out at once. The gathering: one message leaves a node at a
    // time.
    const double exchange =
        (inside - 1) * message(in, slice) + (ranks - inside) * message(out, inside * slice);
    return exchange + (ranks - 1) * std::max(message(in, slice), message(out, slice));
  }
  // All ranks of a node send out at once: what leaves it is a slice of every piece for every other node.
  return 2 * (inside - 1) * message(in, bytes / inside) + 2 * (nodes - 1) * message(out, bytes / nodes);
}

double step_seconds(const StepCost& cost, const Topology& topology, SumForm form, int ranks) {
  EXPUNGE_CHECK(cost.grains >= 1, "a step of {} grains", cost.grains);
  if (ranks == 1) return static_cast<double>(cost.grains) * cost.grain_alone_s + cost.fixed_s;
  const auto [inside, nodes] = nodes_of(topology, ranks);
  const double own =
      cost.weak ? static_cast<double>(cost.grains) : std::ceil(static_cast<double>(cost.grains) / ranks);
  const double all = static_cast<double>(cost.grains) * (cost.weak ? ranks : 1);
  const double reports =
      rounds(inside) * topology.inside.latency + rounds(nodes) * topology.across.latency +
      all * cost.report_bytes * (nodes > 1 ? topology.across.per_byte : topology.inside.per_byte);
  return own * cost.grain_s + reports + sum_seconds(form, topology, ranks, cost.sum_bytes) + cost.fixed_s;
}

double predicted_efficiency(const StepCost& cost, const Topology& topology, SumForm form, int ranks) {
  const double alone = step_seconds(cost, topology, form, 1);
  return alone / step_seconds(cost, topology, form, ranks) / (cost.weak ? 1 : ranks);
}

}  // namespace expunge::stat
