// The calls of a Context that compute something: epochs, folds over gradients, gathered rows, changes of the
// parameters. Each is one entry of the journal.
#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "engine/context_impl.hpp"
#include "tensor/optimizer.hpp"

namespace expunge {

WithoutGradients::WithoutGradients(models::Model& model, bool apply) {
  if (!apply) return;
  for (auto& p : model.parameters())
    if (p.requires_grad()) switched_.push_back(p.set_requires_grad(false));
}
WithoutGradients::~WithoutGradients() {
  for (auto& p : switched_) p.set_requires_grad(true);
}

OnlyTrained::OnlyTrained(Context::Impl& run, bool statistics)
    : student_(*run.setup.model, !run.layout.student) {
  const auto& trained = run.layout.companions;
  for (const auto& companion : run.companions) {
    const bool trains = std::find(trained.begin(), trained.end(), companion) != trained.end();
    companion->model->train(trains);
    for (models::BatchNorm* bn : companion->model->batch_norms()) bn->frozen = !trains || !statistics;
    others_.push_back(std::make_unique<WithoutGradients>(*companion->model, !trains));
  }
}

namespace {

void check_budget(const Context::Impl& run) {
  if (run.budget_spent())
    throw Stopped{Outcome::kBudget, fmt::format("FLOP budget spent after {} steps", run.global_step)};
}

// Shows a step to the test that asked for it. The sum lies in a buffer that another evaluation overwrites.
torch::Tensor shown(Context::Impl& run, const StepPlan& plan, const LossFunction& loss, StepMode mode,
                    const torch::Tensor& leaf) {
  torch::Tensor copy = leaf.clone();
  StepView view;
  view.gradient = copy.narrow(0, 0, run.layout.gradient);
  if (run.layout.student) view.values.push_back(run.setup.parameters->trainable.values);
  for (const auto& c : run.layout.companions) view.values.push_back(c->parameters->trainable.values);
  const Ledger ledger = run.report.ledger;
  view.objective = [&] { return run.run_step(plan, loss, mode).objective; };
  run.setup.inspect(view);
  run.report.ledger = ledger;
  return copy;
}

}  // namespace

EpochResult Context::epoch(const Stream& stream, const LossFunction& loss, const EpochOptions& options) {
  Impl& run = *impl_;
  EXPUNGE_CHECK(!stream.sources.empty(), "an epoch needs a stream");
  if (const auto* entry = run.replayed("epoch"))
    return {entry->at("steps").get<std::int64_t>(), entry->at("loss").get<double>()};
  auto cursors = run.open_cursors(stream);
  EpochSums at;
  if (!run.interrupted.is_null()) {
    cursors_from_json(run.interrupted.at("cursors"), cursors);
    at = {run.interrupted.at("steps").get<std::int64_t>(), run.interrupted.at("objective").get<double>(),
          run.interrupted.at("norm").get<double>(), run.interrupted.at("factor").get<double>(),
          run.interrupted.at("stopped").get<bool>()};
    run.interrupted = nullptr;
  }
  const std::int64_t epoch = options.epoch >= 0 ? options.epoch : run.epochs_done;
  const auto mode = options.bn == BatchNormMode::kDefault && run.setup.train.bn == "frozen"
                        ? BatchNormMode::kFrozen
                        : options.bn;
  run.open_layout(options);
  run.layout.sliced = run.may_slice(options);
  run.layout.in_parts = run.may_overlap(options);
  if (run.layout.in_parts) run.cut_parts();
  const bool statistics = run.layout.statistics > 0 && !(options.student && options.eval) &&
                          (mode == BatchNormMode::kDefault || mode == BatchNormMode::kTrain);
  const OnlyTrained only(run, statistics);
  const StepMode how{StepMode::kMeans, statistics};
  while (!run.call_over(cursors) && !at.stopped) {
    check_budget(run);
    run.set_mode(mode, !options.eval);
    const StepPlan plan = run.next_step(cursors);
    if (options.student) run.start_curriculum(plan, loss);
    const StepOutcome step = run.run_step(plan, loss, how);
    run.check_finite("objective", step.objective);
    torch::Tensor leaf = run.leaf_tensor(const_cast<float*>(step.sum));
    if (run.setup.inspect) leaf = shown(run, plan, loss, how, leaf);
    run.take_step(options, epoch, leaf, at);
    if (statistics) run.update_running_statistics(leaf.data_ptr<float>() + run.layout.statistics_at());
    {
      const torch::NoGradGuard no_grad;
      if (options.after_step) options.after_step(run.setup.parameters->trainable.values);
      if (options.companion_after_step) options.companion_after_step();
    }
    ++run.global_step, ++at.steps;
    at.objective += step.objective;
    at.stopped = options.stop && options.stop();
    run.after_step(step.poll,
                   [&] {
                     return nlohmann::json{{"kind", "epoch"},
                                           {"steps", at.steps},
                                           {"objective", at.objective},
                                           {"norm", at.norm},
                                           {"factor", at.factor},
                                           {"stopped", at.stopped},
                                           {"cursors", cursors_to_json(cursors)}};
                   },
                   {});
  }
  run.close_cursors(cursors);
  ++run.epochs_done;
  const EpochResult result{at.steps, at.steps > 0 ? at.objective / static_cast<double>(at.steps) : 0};
  const double lr = options.student ? run.setup.train.optimizer.lr : 0;
  for (double x : {static_cast<double>(run.next_call), static_cast<double>(epoch),
                   static_cast<double>(at.steps), result.loss, at.norm, at.factor * lr,
                   run.report.ledger.student_forward + run.report.ledger.student_backward})
    run.report.history.push_back(x);
  run.finish_call({{"kind", "epoch"}, {"steps", at.steps}, {"loss", result.loss}});
  return result;
}

namespace {

// One pass in eval mode over gradients (or squared ones) without a step; `into` sees each step's sum.
torch::Tensor pass(Context::Impl& run, const Stream& stream, const LossFunction& loss, StepMode::Kind kind,
                   torch::Tensor state,
                   const std::function<void(torch::Tensor&, const torch::Tensor&, std::int64_t)>& into) {
  const std::string slot = fmt::format("call{}.sum", run.next_call);
  if (run.replayed("fold")) return run.kept.at(slot);
  auto cursors = run.open_cursors(stream);
  if (!run.interrupted.is_null()) {
    cursors_from_json(run.interrupted.at("cursors"), cursors);
    state = run.interrupted_sum.view(state.sizes());
    run.interrupted = nullptr;
  }
  run.open_layout({});
  const OnlyTrained only(run);
  const torch::NoGradGuard no_grad;
  while (!run.call_over(cursors)) {
    check_budget(run);
    run.set_mode(BatchNormMode::kFrozen, false);
    const StepPlan plan = run.next_step(cursors);
    StepOutcome step;
    {
      const torch::AutoGradMode with_grad(true);
      step = run.run_step(plan, loss, {kind, false});
    }
    if (!std::isfinite(step.objective))
      throw Stopped{Outcome::kDiverged, fmt::format("objective is {} in a pass over \"{}\"", step.objective,
                                                    stream.sources[0].name)};
    into(state, run.leaf_tensor(const_cast<float*>(step.sum)).narrow(0, 0, run.layout.gradient),
         plan.samples);
    run.after_step(
        step.poll,
        [&] {
          return nlohmann::json{{"kind", "fold"}, {"cursors", cursors_to_json(cursors)}};
        },
        state);
  }
  run.close_cursors(cursors);
  run.kept[slot] = state;
  run.finish_call({{"kind", "fold"}});
  return state;
}

void add(torch::Tensor& state, const torch::Tensor& sum, std::int64_t) { state.add_(sum); }

}  // namespace

torch::Tensor Context::accumulate(const Stream& stream, const LossFunction& loss) {
  return pass(*impl_, stream, loss, StepMode::kSums, torch::zeros_like(values()), add);
}

torch::Tensor Context::accumulate_squares(const Stream& stream, const LossFunction& loss) {
  return pass(*impl_, stream, loss, StepMode::kSquares, torch::zeros_like(values()), add);
}

torch::Tensor Context::fold(
    const Stream& stream, const LossFunction& loss, torch::Tensor state,
    const std::function<void(torch::Tensor&, const torch::Tensor&, std::int64_t)>& into) {
  return pass(*impl_, stream, loss, StepMode::kSums, state.clone(), into);
}

torch::Tensor Context::once(const std::string& name, const std::function<torch::Tensor()>& compute) {
  Impl& run = *impl_;
  const std::string slot = fmt::format("call{}.{}", run.next_call, name);
  if (run.replayed("once")) return run.kept.at(slot);
  const torch::NoGradGuard no_grad;
  torch::Tensor value = compute().to(torch::kFloat).contiguous();
  run.kept[slot] = value;
  run.finish_call({{"kind", "once"}, {"name", name}});
  return value;
}

void Context::update(const std::string& name, const std::function<void(torch::Tensor&)>& change) {
  Impl& run = *impl_;
  if (run.replayed("update")) return;
  const torch::NoGradGuard no_grad;
  change(values());
  run.modified = true;
  run.finish_call({{"kind", "update"}, {"name", name}});
}

void Context::reinitialize(const std::string& purpose) {
  Impl& run = *impl_;
  if (run.replayed("update")) return;
  const torch::NoGradGuard no_grad;
  auto& frozen = run.setup.parameters->frozen;
  const torch::Tensor keep = frozen.size() > 0 ? frozen.values.clone() : torch::Tensor();
  run.setup.model->initialize(Rng(run.setup.seed, purpose));
  if (keep.defined()) frozen.values.copy_(keep);
  run.optimizer = tensor::Optimizer(run.setup.train.optimizer, run.setup.parameters->trainable);
  run.scattered = nullptr;
  run.modified = true;
  run.finish_call({{"kind", "update"}, {"name", purpose}});
}

}  // namespace expunge
