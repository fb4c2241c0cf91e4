// What the grains of a step report beside their gradient, gathered on every rank; and the pass that gives a
// curriculum its first mean losses.
#include <algorithm>
#include <cstddef>
#include <cstring>

#include "engine/context_impl.hpp"
#include "engine/owned_grains.hpp"

namespace expunge {

// Collective. One message carries the poll bits of every rank and the reports of all grains, in grain order.
StepOutcome Context::Impl::exchange(const StepPlan& plan, int poll, const Failure& failure,
                                    const std::vector<GrainReport>& mine, std::vector<GrainReport>& all) {
  comm::Communicator& comm = *setup.comm;
  const auto grains = static_cast<std::int64_t>(plan.grains.size());
  // Without a curriculum the losses stay at home.
  const std::size_t width = curriculum.active() ? sizeof(GrainReport) : offsetof(GrainReport, losses);
  std::vector<char> message(sizeof(double));
  const double bits = poll | (failure.problem.empty() ? 0 : kFailed);
  std::memcpy(message.data(), &bits, sizeof bits);
  for (const auto& report : mine) {
    const auto* bytes = reinterpret_cast<const char*>(&report);
    message.insert(message.end(), bytes, bytes + width);
  }
  std::vector<std::size_t> counts;
  std::size_t total = 0;
  for (int r = 0; r < comm.size(); ++r) {
    const auto [first, last] = comm::owned_leaves(grains, r, comm.size());
    counts.push_back(sizeof(double) + static_cast<std::size_t>(last - first) * width);
    total += counts.back();
  }
  std::vector<char> received(total);
  comm.all_gather(message.data(), received.data(), counts);

  StepOutcome out;
  all.assign(static_cast<std::size_t>(grains), {});
  const char* at = received.data();
  for (int r = 0; r < comm.size(); ++r) {
    double theirs = 0;
    std::memcpy(&theirs, at, sizeof theirs);
    out.poll |= static_cast<int>(theirs);
    at += sizeof theirs;
    const auto [first, last] = comm::owned_leaves(grains, r, comm.size());
    for (std::int64_t g = first; g < last; ++g, at += width)
      std::memcpy(&all[static_cast<std::size_t>(g)], at, width);
  }
  for (const auto& grain : all) {
    out.objective += grain.objective;
    report.ledger.student_forward += grain.student;
    report.ledger.student_backward += grain.backward;
    report.ledger.teacher_forward += grain.teacher;
    report.ledger.teacher_kept += grain.kept;
  }
  if (out.poll & kFailed) comm.agree(failure.problem, failure.code);
  return out;
}

// The losses of each source, added up over its grains in grain order.
std::vector<std::vector<LossSums>> Context::Impl::losses_of(const StepPlan& plan,
                                                            const std::vector<GrainReport>& grains) {
  std::vector<std::vector<LossSums>> out(plan.ids.size(), std::vector<LossSums>(kMostTerms));
  for (std::size_t g = 0; g < grains.size(); ++g)
    for (std::size_t t = 0; t < kMostTerms; ++t) {
      LossSums& sum = out[plan.grains[g].source][t];
      const LossSums& one = grains[g].losses[t];
      sum.loss += one.loss, sum.count += one.count, sum.weight += one.weight;
      sum.present = std::max(sum.present, one.present);
    }
  return out;
}

// Collective. Before the first step of a stream: its mean losses, from a forward pass over the step's grains.
void Context::Impl::start_curriculum(const StepPlan& plan, const LossFunction& loss) {
  if (!curriculum.active() || std::all_of(plan.grains.begin(), plan.grains.end(), [&](const Grain& g) {
        return curriculum.started(plan.sources[g.source]);
      }))
    return;
  const torch::NoGradGuard no_grad;
  const auto grains = static_cast<std::int64_t>(plan.grains.size());
  const auto [first, last] = comm::owned_leaves(grains, setup.comm->rank(), setup.comm->size());
  std::vector<GrainReport> mine(static_cast<std::size_t>(last - first)), all;
  for (models::BatchNorm* bn : setup.model->batch_norms()) bn->batch_mean = bn->batch_var = torch::Tensor();
  const Failure failure = run_owned(first, last, [&, first = first](std::int64_t g) {
    GrainReport& grain = mine[static_cast<std::size_t>(g - first)];
    const Batch b = load_grain(plan, static_cast<std::size_t>(g));
    const Terms terms = loss(b);
    for (std::size_t t = 0; t < terms.size(); ++t) {
      LossSums& sums = grain.losses.at(t);
      const torch::Tensor wanted = wanted_by(terms[t], b);
      sums.loss = (wanted.defined() ? terms[t].loss.masked_select(wanted) : terms[t].loss)
                      .to(torch::kDouble)
                      .sum()
                      .item<double>();
      sums.count = static_cast<double>(wanted.defined() ? wanted.sum().item<std::int64_t>() : b.size());
      sums.present = 1;
    }
    grain.student = grain_student, grain.teacher = grain_teacher, grain.kept = grain_kept;
  });
  exchange(plan, 0, failure, mine, all);
  const auto sums = losses_of(plan, all);
  for (std::size_t s = 0; s < sums.size(); ++s) curriculum.start(plan.sources[s], sums[s]);
}

}  // namespace expunge
