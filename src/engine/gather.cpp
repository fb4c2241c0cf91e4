// Rows of numbers about single samples, collected from the ranks in the order of the stream's ids.
#include "core/error.hpp"
#include "engine/context_impl.hpp"
#include "engine/owned_grains.hpp"

namespace expunge {
namespace {

// The whole of one source in order, cut into grains as a step would be.
StepPlan whole_pass(const Source& source, std::int64_t grain) {
  StepPlan plan;
  plan.ids = {*source.ids};
  plan.passes = {-1};  // no augmentation
  plan.sources = {source.name};
  plan.samples_of = {source.samples.get()};
  plan.samples = static_cast<std::int64_t>(plan.ids[0].size());
  plan.grains = cut_grains({plan.samples}, grain);
  return plan;
}

struct Gathered {
  torch::Tensor rows;  // [N, width]
  int poll = 0;
};

// Collective. `rows` of this rank's grains, exchanged in float. The ledger counts the passes of all ranks.
Gathered gather_rows(Context::Impl& run, const StepPlan& plan,
                     const std::function<torch::Tensor(const Batch&)>& rows) {
  comm::Communicator& comm = *run.setup.comm;
  const auto grains = static_cast<std::int64_t>(plan.grains.size());
  const auto [first, last] = comm::owned_leaves(grains, comm.rank(), comm.size());
  std::vector<GrainReport> mine(static_cast<std::size_t>(last - first)), all;
  std::vector<float> values;
  const int poll = run.setup.poll();
  const Failure failure = run_owned(first, last, [&, first = first](std::int64_t g) {
    const Batch b = run.load_grain(plan, static_cast<std::size_t>(g));
    const torch::Tensor x = rows(b).detach().to(torch::kCPU, torch::kFloat).contiguous();
    values.insert(values.end(), x.data_ptr<float>(), x.data_ptr<float>() + x.numel());
    GrainReport& grain = mine[static_cast<std::size_t>(g - first)];
    grain.student = run.grain_student, grain.backward = run.grain_backward;
    grain.teacher = run.grain_teacher, grain.kept = run.grain_kept;
    run.setup.tick();
  });
  Gathered out;
  out.poll = run.exchange(plan, poll, failure, mine, all).poll;
  std::vector<std::size_t> counts;
  std::size_t total = 0;
  for (auto floats : comm.all_gather_value(values.size())) {
    counts.push_back(floats * sizeof(float));
    total += floats;
  }
  torch::Tensor gathered = torch::empty({static_cast<std::int64_t>(total)}, torch::kFloat);
  comm.all_gather(values.data(), gathered.data_ptr<float>(), counts);
  out.rows = plan.samples > 0 ? gathered.view({-1, static_cast<std::int64_t>(total) / plan.samples})
                              : torch::zeros({0, 0});
  run.setup.progress(plan.samples);
  return out;
}

torch::Tensor gather_call(Context::Impl& run, const Stream& stream,
                          const std::function<torch::Tensor(const Batch&)>& rows,
                          const std::function<torch::Tensor(torch::Tensor)>& finish) {
  EXPUNGE_CHECK(stream.sources.size() == 1, "gather takes a stream of one source");
  const std::string slot = fmt::format("call{}.rows", run.next_call);
  if (run.replayed("gather")) return run.kept.at(slot);
  if (run.budget_spent())
    throw Stopped{Outcome::kBudget, fmt::format("FLOP budget spent after {} steps", run.global_step)};
  run.open_layout({});
  const OnlyTrained only(run);
  run.set_mode(BatchNormMode::kFrozen, false);
  const StepPlan plan = whole_pass(stream.sources[0], run.setup.grain);
  const Gathered gathered = gather_rows(run, plan, rows);
  const torch::NoGradGuard no_grad;
  torch::Tensor out = finish ? finish(gathered.rows) : gathered.rows;
  out = out.to(torch::kFloat).contiguous().to(run.setup.device);
  run.kept[slot] = out;
  run.finish_call({{"kind", "gather"}});
  run.after_step(gathered.poll, [] { return nlohmann::json(); }, {});
  return out;
}

}  // namespace

torch::Tensor Context::gather(const Stream& stream, const std::function<torch::Tensor(const Batch&)>& rows,
                              const std::function<torch::Tensor(torch::Tensor)>& finish) {
  const auto flat = [&](const Batch& b) {
    const torch::NoGradGuard no_grad;
    return rows(b).reshape({b.size(), -1});
  };
  return gather_call(*impl_, stream, flat, finish);
}

torch::Tensor Context::gather_gradients(const Stream& stream, const LossFunction& loss,
                                        const torch::Tensor& index,
                                        const std::function<torch::Tensor(torch::Tensor)>& finish) {
  Impl& run = *impl_;
  bool by_layer = true;
  const auto rows = [&](const Batch& b) {
    const torch::AutoGradMode with_grad(true);
    if (by_layer) {
      if (const auto found = run.gradients_by_layer(loss, b, index)) return found->view({b.size(), -1});
      by_layer = false;
      run.forget_grain();
    }
    torch::Tensor gradient = torch::zeros_like(values());
    run.setup.parameters->bind_gradients(gradient);
    std::vector<torch::Tensor> out;
    for (std::int64_t i = 0; i < b.size(); ++i) {
      const Terms terms = loss(rows_of(b, torch::tensor({i}, torch::kLong).to(b.labels.device())));
      for (std::size_t t = 0; t < terms.size(); ++t) {
        gradient.zero_();
        terms[t].loss.sum().backward({}, t + 1 < terms.size());
        out.push_back(gradient.index_select(0, index));
        run.grain_backward += 1;
      }
    }
    return torch::stack(out).view({b.size(), -1});
  };
  const std::int64_t width = index.numel();
  return gather_call(run, stream, rows, [&](const torch::Tensor& x) {
    const torch::Tensor out = width > 0 ? x.reshape({-1, width}) : torch::zeros({0, 0});
    return finish ? finish(out) : out;
  });
}

}  // namespace expunge
