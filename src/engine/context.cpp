#include "engine/context.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/error.hpp"
#include "core/log.hpp"
#include "engine/context_impl.hpp"

namespace expunge {

Context::Impl::Impl(Setup s)
    : setup(std::move(s)),
      optimizer(setup.train.optimizer, setup.parameters->trainable),
      curriculum(setup.train, setup.task->classes()),
      clock(std::chrono::steady_clock::now()) {
  std::int64_t bound = 0;
  for (const auto* ids : {&setup.forget, &setup.retain})
    if (!ids->empty()) bound = std::max(bound, *std::max_element(ids->begin(), ids->end()) + 1);
  forget_member.assign(static_cast<std::size_t>(bound), 0);
  for (auto id : setup.forget) forget_member[static_cast<std::size_t>(id)] = 1;
  gradient_size = leaf_size = setup.parameters->trainable.size();
  for (models::BatchNorm* bn : setup.model->batch_norms()) leaf_size += 2 * bn->running_mean.numel();
  reducer = std::make_unique<comm::OrderedSum>(*setup.comm, leaf_size, setup.arithmetic);
  if (setup.eval_frozen) {
    for (const auto& module : setup.model->modules(false)) {
      const auto own = module->parameters();
      if (!own.empty() &&
          std::none_of(own.begin(), own.end(), [](const torch::Tensor& p) { return p.requires_grad(); }))
        frozen_modules.push_back(module.get());
    }
  }
  if (setup.resume) restore(*setup.resume);
  setup.resume.reset();
}

Context::Context(Setup setup) : impl_(std::make_unique<Impl>(std::move(setup))) {}
Context::~Context() = default;

Stream Context::forget() const {
  return {{Source{"forget", std::make_shared<const std::vector<std::int64_t>>(impl_->setup.forget)}}};
}
Stream Context::retain() const {
  return {{Source{"retain", std::make_shared<const std::vector<std::int64_t>>(impl_->setup.retain)}}};
}

Stream Context::mix(const Stream& a, const Stream& b) const {
  EXPUNGE_CHECK(a.sources.size() == 1 && b.sources.size() == 1, "mix takes streams of one source");
  auto ids = *a.sources[0].ids;
  ids.insert(ids.end(), b.sources[0].ids->begin(), b.sources[0].ids->end());
  return {{Source{"mix", std::make_shared<const std::vector<std::int64_t>>(std::move(ids))}}};
}

Stream Context::subset(const Stream& of, std::int64_t count, const std::string& purpose) const {
  EXPUNGE_CHECK(of.sources.size() == 1, "subset takes a stream of one source");
  const auto& all = *of.sources[0].ids;
  const auto population = static_cast<std::int64_t>(all.size());
  std::vector<std::int64_t> ids;
  for (auto i : Rng(impl_->setup.seed, purpose).sample(std::min(count, population), population))
    ids.push_back(all[static_cast<std::size_t>(i)]);
  std::sort(ids.begin(), ids.end());
  return {{Source{of.sources[0].name + "." + purpose,
                  std::make_shared<const std::vector<std::int64_t>>(std::move(ids))}}};
}

const tasks::Task& Context::task() const { return *impl_->setup.task; }

models::Tensors Context::student(const Batch& b) {
  impl_->grain_student += static_cast<double>(b.size());
  return impl_->forward(*impl_->setup.model, b);
}

torch::Tensor Context::relabel(const Batch& b, const std::string& mode, bool redraw) const {
  Rng rng(impl_->setup.seed, "relabel");
  if (redraw) rng = rng.sub(static_cast<std::uint64_t>(b.pass));
  return task().corrupt(b, mode, rng);
}

models::Tensors Teacher::operator()(const Batch& b) const {
  const torch::NoGradGuard no_grad;
  state_->run->grain_teacher += static_cast<double>(b.size());
  return state_->run->forward(*state_->model, b);
}

namespace {

// Another network of the student's architecture, in eval mode and without gradients.
std::shared_ptr<Teacher::State> make_frozen(Context::Impl& run) {
  auto state = std::make_shared<Teacher::State>();
  state->run = &run;
  state->model = run.setup.make_model();
  std::set<std::string> trainable;  // the student's layout, so that buffers can be copied whole
  for (const auto& entry : run.setup.parameters->trainable.entries) trainable.insert(entry.name);
  state->parameters = std::make_unique<tensor::FlatParameters>(
      *state->model, run.setup.device, [&](const std::string& name) { return trainable.count(name) > 0; },
      run.setup.train.optimizer.decay);
  for (auto& p : state->model->parameters()) p.set_requires_grad(false);
  state->model->eval();
  for (models::BatchNorm* bn : state->model->batch_norms()) bn->frozen = true;
  return state;
}

}  // namespace

Teacher Context::freeze() {
  Impl& run = *impl_;
  auto state = make_frozen(run);
  const std::int64_t call = run.next_call;
  const std::string slot = fmt::format("call{}", call);
  auto& into = *state->parameters;
  const torch::NoGradGuard no_grad;
  if (run.replaying()) {
    const bool at_start = run.calls[static_cast<std::size_t>(call)].at("at_start").get<bool>();
    into.trainable.values.copy_(at_start ? run.start_values : run.kept.at(slot + ".values"));
    if (into.buffers.size() > 0)
      into.buffers.values.copy_(at_start ? run.start_buffers : run.kept.at(slot + ".buffers"));
    if (into.frozen.size() > 0) into.frozen.values.copy_(run.setup.parameters->frozen.values);
    ++run.next_call;
    return Teacher(state);
  }
  tensor::copy_values(*run.setup.parameters, into);
  if (run.modified) {
    run.kept[slot + ".values"] = into.trainable.values.clone();
    if (into.buffers.size() > 0) run.kept[slot + ".buffers"] = into.buffers.values.clone();
  }
  run.finish_call({{"kind", "freeze"}, {"at_start", !run.modified}});
  return Teacher(state);
}

Teacher Context::random_teacher() {
  auto state = make_frozen(*impl_);
  state->model->initialize(Rng(impl_->setup.seed, "badinit"));
  return Teacher(state);
}

EpochResult Context::epoch(const Stream& stream, const LossFunction& loss, const EpochOptions& options) {
  Impl& run = *impl_;
  EXPUNGE_CHECK(!stream.sources.empty(), "an epoch needs a stream");
  if (run.replaying()) {
    const auto& entry = run.calls[static_cast<std::size_t>(run.next_call++)];
    EXPUNGE_CHECK(entry.at("kind") == "epoch", "the journal's call {} is a {}, not an epoch",
                  run.next_call - 1, entry.at("kind").get<std::string>());
    return {entry.at("steps").get<std::int64_t>(), entry.at("loss").get<double>()};
  }
  auto cursors = run.open_cursors(stream);
  std::int64_t steps = 0;
  double objective = 0, norm = 0, factor = 0;
  if (!run.interrupted.is_null()) {
    cursors_from_json(run.interrupted.at("cursors"), cursors);
    steps = run.interrupted.at("steps").get<std::int64_t>();
    objective = run.interrupted.at("objective").get<double>();
    norm = run.interrupted.at("norm").get<double>();
    factor = run.interrupted.at("factor").get<double>();
    run.interrupted = nullptr;
  }
  const std::int64_t epoch = options.epoch >= 0 ? options.epoch : run.epochs_done;
  const auto mode = options.bn == BatchNormMode::kDefault && run.setup.train.bn == "frozen"
                        ? BatchNormMode::kFrozen
                        : options.bn;
  const bool statistics =
      has_batch_norm() && (mode == BatchNormMode::kDefault || mode == BatchNormMode::kTrain);
  auto& values = run.setup.parameters->trainable;
  while (!run.call_over(cursors)) {
    if (run.budget_spent())
      throw Stopped{Outcome::kBudget, fmt::format("FLOP budget spent after {} steps", run.global_step)};
    run.set_mode(mode, true);
    const StepPlan plan = run.next_step(cursors);
    run.start_curriculum(plan, loss);
    const StepOutcome step = run.run_step(plan, loss, {true, statistics});
    if (!std::isfinite(step.objective))
      throw Stopped{Outcome::kDiverged,
                    fmt::format("objective is {} at step {}", step.objective, run.global_step + 1)};
    torch::Tensor gradient = run.leaf_tensor(const_cast<float*>(step.sum)).narrow(0, 0, run.gradient_size);
    if (options.penalty) options.penalty(values.values, gradient);
    norm = tensor::gradient_norm(gradient);
    if (!std::isfinite(norm))
      throw Stopped{Outcome::kDiverged,
                    fmt::format("gradient norm is {} at step {}", norm, run.global_step + 1)};
    factor = tensor::schedule_factor(run.setup.train, run.global_step, run.setup.total_steps, epoch) *
             options.lr_scale;
    run.optimizer.step(values, gradient, factor, tensor::clip_factor(norm, run.setup.train.clip));
    if (statistics) run.update_running_statistics(step.sum + run.gradient_size);
    if (options.after_step) {
      const torch::NoGradGuard no_grad;
      options.after_step(values.values);
    }
    run.modified = true;
    ++run.global_step, ++steps;
    objective += step.objective;
    run.after_step(step.poll,
                   [&] {
                     return nlohmann::json{{"kind", "epoch"},        {"steps", steps},
                                           {"objective", objective}, {"norm", norm},
                                           {"factor", factor},       {"cursors", cursors_to_json(cursors)}};
                   },
                   {});
  }
  run.close_cursors(cursors);
  ++run.epochs_done;
  const EpochResult result{steps, steps > 0 ? objective / static_cast<double>(steps) : 0};
  for (double x : {static_cast<double>(run.next_call), static_cast<double>(epoch), static_cast<double>(steps),
                   result.loss, norm, factor * run.setup.train.optimizer.lr,
                   run.report.ledger.student_forward + run.report.ledger.student_backward})
    run.report.history.push_back(x);
  run.finish_call({{"kind", "epoch"}, {"steps", steps}, {"loss", result.loss}});
  return result;
}

torch::Tensor Context::accumulate(const Stream& stream, const LossFunction& loss) {
  Impl& run = *impl_;
  const std::string slot = fmt::format("call{}.sum", run.next_call);
  if (run.replaying()) {
    ++run.next_call;
    return run.kept.at(slot);
  }
  auto cursors = run.open_cursors(stream);
  torch::Tensor sum = torch::zeros({run.gradient_size}, run.setup.parameters->trainable.values.options());
  if (!run.interrupted.is_null()) {
    cursors_from_json(run.interrupted.at("cursors"), cursors);
    sum = run.interrupted_sum;
    run.interrupted = nullptr;
  }
  const torch::NoGradGuard no_grad;
  while (!run.call_over(cursors)) {
    if (run.budget_spent())
      throw Stopped{Outcome::kBudget, fmt::format("FLOP budget spent after {} steps", run.global_step)};
    run.set_mode(BatchNormMode::kFrozen, false);
    const StepPlan plan = run.next_step(cursors);
    StepOutcome step;
    {
      const torch::AutoGradMode with_grad(true);
      step = run.run_step(plan, loss, {false, false});
    }
    if (!std::isfinite(step.objective))
      throw Stopped{Outcome::kDiverged, fmt::format("objective is {} in a pass over \"{}\"", step.objective,
                                                    stream.sources[0].name)};
    sum.add_(run.leaf_tensor(const_cast<float*>(step.sum)).narrow(0, 0, run.gradient_size));
    run.after_step(
        step.poll,
        [&] {
          return nlohmann::json{{"kind", "accumulate"}, {"cursors", cursors_to_json(cursors)}};
        },
        sum);
  }
  run.close_cursors(cursors);
  run.kept[slot] = sum;
  run.finish_call({{"kind", "accumulate"}});
  return sum;
}

torch::Tensor Context::once(const std::string& name, const std::function<torch::Tensor()>& compute) {
  Impl& run = *impl_;
  const std::string slot = fmt::format("call{}.{}", run.next_call, name);
  if (run.replaying()) {
    ++run.next_call;
    return run.kept.at(slot);
  }
  const torch::NoGradGuard no_grad;
  torch::Tensor value = compute().to(torch::kFloat).contiguous();
  run.kept[slot] = value;
  run.finish_call({{"kind", "once"}, {"name", name}});
  return value;
}

torch::Tensor& Context::values() { return impl_->setup.parameters->trainable.values; }
const tensor::FlatBuffer& Context::layout() const { return impl_->setup.parameters->trainable; }
const config::TrainOptions& Context::train() const { return impl_->setup.train; }
std::uint64_t Context::seed() const { return impl_->setup.seed; }
bool Context::has_batch_norm() const { return !impl_->setup.model->batch_norms().empty(); }
bool Context::has_dropout() const { return impl_->setup.model->has_dropout(); }

void Context::log(const std::string& line) const {
  if (impl_->setup.comm->rank() == 0 && !impl_->replaying()) log::info("{}", line);
}

const RunReport& Context::report() const {
  impl_->bring_time_up_to_date();
  return impl_->report;
}

}  // namespace expunge
