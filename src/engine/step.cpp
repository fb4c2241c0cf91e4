// One optimiser step over the ranks: plan -> grains -> tree. Every rank knows the whole plan; it runs the
// grains it owns.
#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/fault.hpp"
#include "core/numbers.hpp"
#include "engine/autocast.hpp"
#include "engine/context_impl.hpp"
#include "engine/device_source.hpp"
#include "engine/owned_grains.hpp"

namespace expunge {
namespace {

// The samples of a step that a term is about.
std::int64_t count_over(const std::vector<std::int64_t>& ids, const std::vector<std::uint8_t>& forget_member,
                        Over over) {
  if (over == Over::kAll) return static_cast<std::int64_t>(ids.size());
  const auto forget = std::count_if(ids.begin(), ids.end(), [&](auto id) {
    return static_cast<std::size_t>(id) < forget_member.size() && forget_member[static_cast<std::size_t>(id)];
  });
  return over == Over::kForget ? forget : static_cast<std::int64_t>(ids.size()) - forget;
}

}  // namespace

bool Context::Impl::call_over(const std::vector<Cursor>& cursors) const {
  const Cursor& anchor = cursors.front();
  const auto n = static_cast<std::int64_t>(anchor.source.ids->size());
  return n == 0 || anchor.at.offset >= n;
}

GrainSamples StepPlan::samples_in(std::size_t index) const {
  const Grain& grain = grains[index];
  const auto& of_source = ids[grain.source];
  return {{of_source.begin() + grain.begin, of_source.begin() + grain.end}, passes[grain.source]};
}

// The samples of a step, and which this rank reads first in the step behind it.
StepPlan Context::Impl::next_step(std::vector<Cursor>& cursors) const {
  StepPlan plan = take_samples(cursors);
  if (ahead) plan.following = first_of_next(cursors);
  return plan;
}

std::optional<GrainSamples> Context::Impl::first_of_next(std::vector<Cursor> cursors) const {
  if (call_over(cursors)) return {};
  const StepPlan next = take_samples(cursors);
  const auto [first, last] =
      comm::owned_leaves(std::ssize(next.grains), setup.comm->rank(), setup.comm->size());
  const auto grain = static_cast<std::size_t>(first);
  if (first == last || next.samples_of[next.grains[grain].source]) return {};
  return next.samples_in(grain);
}

StepPlan Context::Impl::take_samples(std::vector<Cursor>& cursors) const {
  StepPlan plan;
  std::vector<std::int64_t> sizes;
  for (std::size_t s = 0; s < cursors.size(); ++s) {
    Cursor& c = cursors[s];
    const auto n = static_cast<std::int64_t>(c.source.ids->size());
    if (s > 0 && n > 0 && c.at.offset >= n) c.at = {c.at.pass + 1, 0};  // cycled source: its next pass
    if (n > 0 && c.ordered_pass != c.at.pass) {
      c.order = pass_order(setup.seed, c.source.name, c.at.pass, n);
      c.ordered_pass = c.at.pass;
    }
    const std::int64_t batch = c.source.batch > 0 ? c.source.batch : setup.train.batch;
    const std::int64_t take = std::min(batch, n - c.at.offset);
    std::vector<std::int64_t> ids;
    for (std::int64_t i = 0; i < take; ++i)
      ids.push_back(
          (*c.source.ids)[static_cast<std::size_t>(c.order[static_cast<std::size_t>(c.at.offset + i)])]);
    plan.passes.push_back(c.at.pass);
    plan.sources.push_back(c.source.name);
    plan.samples_of.push_back(c.source.samples.get());
    c.at.offset += take;
    plan.samples += take;
    sizes.push_back(take);
    plan.ids.push_back(std::move(ids));
  }
  plan.grains = cut_grains(sizes, setup.grain);
  return plan;
}

void Context::Impl::set_mode(BatchNormMode mode, bool training) {
  if (mode == BatchNormMode::kDefault)
    mode = setup.train.bn == "frozen" ? BatchNormMode::kFrozen : BatchNormMode::kTrain;
  setup.model->train(training);
  for (torch::nn::Module* module : frozen_modules) module->eval();
  for (models::BatchNorm* bn : setup.model->batch_norms())
    bn->frozen =
        mode == BatchNormMode::kFrozen || !training || (setup.eval_frozen && !bn->weight.requires_grad());
}

void Context::Impl::open_layout(const EpochOptions& options) {
  layout = {.student = options.student, .apart = options.apart};
  const auto add = [&](const models::Model& model, const tensor::FlatParameters& parameters) {
    layout.gradient += parameters.trainable.size();
    layout.norms.insert(layout.norms.end(), model.batch_norms().begin(), model.batch_norms().end());
  };
  if (options.student) add(*setup.model, *setup.parameters);
  for (const Companion& c : options.companions) {
    layout.companions.push_back(c.state());
    add(c.model(), *c.state()->parameters);
  }
  for (const models::BatchNorm* bn : layout.norms) layout.statistics += 2 * bn->running_mean.numel();
  auto& known = reducers[layout.size()];
  if (!known)
    known = std::make_unique<comm::OrderedSum>(*setup.comm, layout.size(), setup.arithmetic,
                                               setup.ranks_per_node);
  reducer = known.get();
  EXPUNGE_CHECK(layout.apart.size() <= kMostApart, "{} terms apart; {} fit", layout.apart.size(), kMostApart);
}

torch::Tensor Context::Impl::leaf_tensor(float* buffer) {
  auto& t = leaves[buffer];
  if (!t.defined() || t.numel() != layout.size())
    t = at::from_blob(buffer, {layout.size()},
                      torch::TensorOptions().dtype(torch::kFloat).device(setup.device));
  return t;
}

// Makes the BatchNorms write the grain's statistics [layout.statistics] there; undefined: nowhere.
void Context::Impl::bind_statistics(const torch::Tensor& statistics) {
  std::int64_t at = 0;
  for (models::BatchNorm* bn : layout.norms) {
    const std::int64_t channels = bn->running_mean.numel();
    // variable_data: a version counter of its own, or autograd would take one layer's statistics for a change
    // of another's.
    const auto part = [&](std::int64_t from) {
      return statistics.defined() ? statistics.narrow(0, from, channels).variable_data() : torch::Tensor();
    };
    bn->batch_mean = part(at);
    bn->batch_var = part(at + channels);
    at += 2 * channels;
  }
}

// Opens (or closes) the sinks of everything that trains, over one slot of a leaf.
void Context::Impl::open_sinks(const torch::Tensor& slot, tensor::GradientSink::Write how) {
  std::int64_t at = 0;
  for_each_trained([&](tensor::FlatParameters& parameters) {
    parameters.sink().open(slot.narrow(0, at, parameters.trainable.size()), how);
    at += parameters.trainable.size();
  });
}

void Context::Impl::close_sinks() {
  for_each_trained([](tensor::FlatParameters& parameters) { parameters.sink().close(); });
}

void Context::Impl::update_running_statistics(const float* statistics) {
  const torch::NoGradGuard no_grad;
  std::int64_t at = 0;
  const auto options = torch::TensorOptions().dtype(torch::kFloat).device(setup.device);
  for (models::BatchNorm* bn : layout.norms) {
    const std::int64_t channels = bn->running_mean.numel();
    float* s = const_cast<float*>(statistics) + at;
    at += 2 * channels;
    if (bn->frozen) continue;
    bn->running_mean.mul_(1 - bn->momentum).add_(at::from_blob(s, {channels}, options), bn->momentum);
    bn->running_var.mul_(1 - bn->momentum)
        .add_(at::from_blob(s + channels, {channels}, options), bn->momentum);
    bn->num_batches_tracked.add_(1);
  }
}

models::Tensors Context::Impl::forward(models::Model& model, const Batch& b) const {
  const Autocast autocast(setup.device, setup.train.precision == "bf16");
  models::Tensors out = model.forward(b.inputs);
  setup.task->complete(out, b);
  return out;
}

// The student's pass: replayed where it has been recorded.
models::Tensors Context::Impl::forward_student(const Batch& b) {
  if (graphs) {
    const StudentGraphs::Pass pass{[this](const models::Tensors& inputs) {
                                     const Autocast autocast(setup.device, setup.train.precision == "bf16");
                                     return setup.model->forward(inputs);
                                   },
                                   [this](const torch::Tensor& statistics) { bind_statistics(statistics); }};
    if (auto out = graphs->outputs(b.inputs, pass)) {
      const Autocast autocast(setup.device, setup.train.precision == "bf16");
      setup.task->complete(*out, b);
      return *std::move(out);
    }
  }
  return forward(*setup.model, b);
}

// Begins to read the grain behind this one, of this step or the next.
void Context::Impl::look_ahead(const StepPlan& plan, std::size_t next) {
  if (!ahead) return;
  if (static_cast<std::int64_t>(next) < reducer->last_leaf()) {
    if (!plan.samples_of[plan.grains[next].source]) ahead->start(plan.samples_in(next));
  } else if (plan.following) {
    ahead->start(*plan.following);
  }
}

// The samples of a grain, on the device.
Batch Context::Impl::load_grain(const StepPlan& plan, std::size_t index) {
  const Grain& grain = plan.grains[index];
  Batch b;
  b.source = grain.source;
  b.pass = plan.passes[grain.source];
  GrainSamples samples = plan.samples_in(index);
  const SampleSource* own = plan.samples_of[grain.source];
  const bool read = !own && ahead && ahead->take(samples, b);
  b.ids = std::move(samples.ids);
  if (!read) (own ? own : setup.samples)->load(b.ids, b.pass, b);
  std::vector<float> member;
  for (auto id : b.ids) member.push_back(!own && forget_member[static_cast<std::size_t>(id)] ? 1.0f : 0.0f);
  b.is_forget = to_device(torch::tensor(member), setup.device);
  at::manual_seed(Rng(setup.seed, "dropout").sub(static_cast<std::uint64_t>(global_step)).bits(index));
  grain_student = grain_teacher = grain_backward = grain_graphs = grain_kept = 0;
  grain_inputs = own ? models::Tensors() : b.inputs;
  return b;
}

// A device is not waited for in the middle of its work.
void Context::Impl::read_later(double& into, const torch::Tensor& value) {
  unread.emplace_back(&into, value.detach().to(torch::kDouble));
}

// In the order in which they were computed.
void Context::Impl::read_values() {
  if (unread.empty()) return;
  std::vector<torch::Tensor> values;
  for (const auto& [into, value] : unread) values.push_back(value);
  const torch::Tensor host = at::stack(values).to(torch::kCPU);
  for (std::size_t i = 0; i < unread.size(); ++i) *unread[i].first += host.data_ptr<double>()[i];
  unread.clear();
}

// A term's part of the objective; its value goes to the report. `source`: whose curriculum weighs the
// samples; empty for none.
torch::Tensor Context::Impl::weigh(const Term& term, std::size_t index, const Batch& b,
                                   const std::string& source, double scale, GrainReport& grain) {
  const torch::Tensor wanted = wanted_by(term, b);
  if (source.empty()) {
    const torch::Tensor part = sum_over(term.loss, wanted) * scale;
    read_later(grain.objective, part);
    return part;
  }
  double value = 0;
  grain.losses.at(index).present = 1;
  const torch::Tensor weights =
      curriculum.weights(source, index, term.loss, wanted, grain.losses.at(index), value);
  grain.objective += value * scale;
  return sum_over(term.loss * weights, wanted) * scale;
}

// Adds a term apart to its slot: the weighted sum, and what its samples count.
torch::Tensor Context::Impl::apart_sum(const Term& term, const Batch& b, std::array<double, 2>& sums) {
  const torch::Tensor wanted = wanted_by(term, b);
  const torch::Tensor part = sum_over(term.loss, wanted) * term.weight;
  read_later(sums[0], part);
  read_later(sums[1], sum_over(term.count.defined() ? term.count : torch::ones_like(b.is_forget), wanted));
  return part;
}

namespace {

void add_to(torch::Tensor& sum, const torch::Tensor& part) { sum = sum.defined() ? sum + part : part; }
bool has_gradient(const torch::Tensor& t) { return t.defined() && t.requires_grad(); }

}  // namespace

// Passes the terms' sums backward into the leaf's slots.
void Context::Impl::backward(std::vector<torch::Tensor>& sums, const torch::Tensor& leaf,
                             tensor::GradientSink::Write how, std::int64_t samples) {
  // Terms may share a graph: it is kept until the last of them has passed through it.
  for (std::size_t slot = 0; slot < sums.size(); ++slot) {
    const torch::Tensor into =
        leaf.narrow(0, static_cast<std::int64_t>(slot) * layout.gradient, layout.gradient);
    if (!has_gradient(sums[slot])) {
      if (how == tensor::GradientSink::Write::kReplace) into.zero_();
      continue;
    }
    const bool last =
        std::none_of(sums.begin() + static_cast<std::ptrdiff_t>(slot) + 1, sums.end(), has_gradient);
    if (reducer->takes_parts())
      setup.parameters->sink().open(into, how, parts, [this] { reducer->push_part(); });
    else
      open_sinks(into, how);
    sums[slot].backward({}, !last);
    close_sinks();
    grain_backward += std::max(static_cast<double>(samples), grain_graphs);
  }
}

// The terms of a grain: their sums in the slots that they have, their values in the report.
std::vector<torch::Tensor> Context::Impl::weighed_terms(const StepPlan& plan, const Batch& b,
                                                        const LossFunction& loss, StepMode mode,
                                                        GrainReport& grain) {
  const auto& ids = plan.ids[b.source];
  const bool means = mode.kind == StepMode::kMeans;
  const std::string curriculum_of =
      curriculum.active() && means && layout.student ? plan.sources[b.source] : "";
  std::vector<torch::Tensor> slots(1 + layout.apart.size());
  const Terms terms = loss(b);
  for (std::size_t t = 0; t < terms.size(); ++t) {
    const Term& term = terms[t];
    const auto slot =
        static_cast<std::size_t>(std::find_if(layout.apart.begin(), layout.apart.end(),
                                              [&](const Apart& a) { return a.term == term.name; }) -
                                 layout.apart.begin());
    if (slot < layout.apart.size()) {
      add_to(slots[1 + slot], apart_sum(term, b, grain.apart.at(slot)));
      continue;
    }
    EXPUNGE_CHECK(!term.count.defined(), "term {} has counts, but is not apart", term.name);
    const double count =
        static_cast<double>(means ? std::max<std::int64_t>(1, count_over(ids, forget_member, term.over)) : 1);
    add_to(slots[0], weigh(term, t, b, curriculum_of, term.weight / count, grain));
  }
  return slots;
}

// A pure function of (parameters, samples, seed, step, grain): nothing here may depend on the rank.
void Context::Impl::run_grain(const StepPlan& plan, std::size_t index, const LossFunction& loss,
                              StepMode mode, GrainReport& grain) {
  using Write = tensor::GradientSink::Write;
  const Write how = mode.kind != StepMode::kSquares && reducer->adds_next() ? Write::kAdd : Write::kReplace;
  torch::Tensor leaf = leaf_tensor(how == Write::kAdd ? reducer->sibling() : reducer->leaf());
  torch::Tensor statistics = leaf.narrow(0, layout.statistics_at(), layout.statistics);
  if (how == Write::kReplace)
    statistics.zero_();
  else if (mode.record_statistics)
    statistics = torch::zeros_like(statistics);
  bind_statistics(mode.record_statistics ? statistics : torch::Tensor());
  if (graphs && layout.apart.empty() && mode.kind != StepMode::kSquares)
    graphs->begin_grain(mode.record_statistics ? statistics : torch::Tensor());
  const Batch b = load_grain(plan, index);
  look_ahead(plan, index + 1);
  if (mode.kind == StepMode::kSquares) {
    leaf.zero_();
    grain.objective = add_squares(loss, b, leaf.narrow(0, 0, layout.gradient));
  } else {
    std::vector<torch::Tensor> sums = weighed_terms(plan, b, loss, mode, grain);
    backward(sums, leaf, how, b.size());
  }
  if (graphs) graphs->end_grain();
  if (mode.record_statistics) {  // the mean of the step's statistics is weighted by samples
    statistics.mul_(static_cast<double>(b.size()) / static_cast<double>(plan.samples));
    if (how == Write::kAdd) leaf.narrow(0, layout.statistics_at(), layout.statistics).add_(statistics);
  }
  grain.student = grain_student, grain.backward = grain_backward;
  grain.teacher = grain_teacher, grain.kept = grain_kept;
  if (how == Write::kAdd)
    reducer->push_added();
  else
    reducer->push();
}

// The gradients of terms apart, now that their means are known.
void Context::Impl::combine(const std::vector<GrainReport>& grains, StepOutcome& out) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor leaf = leaf_tensor(const_cast<float*>(out.sum));
  for (std::size_t slot = 0; slot < layout.apart.size(); ++slot) {
    double sum = 0, count = 0;
    for (const auto& grain : grains) sum += grain.apart.at(slot)[0], count += grain.apart.at(slot)[1];
    if (count == 0) continue;
    const auto& outer = layout.apart[slot].outer;
    const auto [value, derivative] = outer ? outer(sum / count) : std::pair{sum / count, 1.0};
    out.objective += value;
    const auto at = static_cast<std::int64_t>(slot + 1) * layout.gradient;
    leaf.narrow(0, 0, layout.gradient).add_(leaf.narrow(0, at, layout.gradient), derivative / count);
  }
}

// Collective. The sum over grains of gradients (and BatchNorm statistics), in tree order.
StepOutcome Context::Impl::run_step(const StepPlan& plan, const LossFunction& loss, StepMode mode) {
  const bool struck = fault::at_step();
  const auto grains = static_cast<std::int64_t>(plan.grains.size());
  const int poll = setup.poll();
  unread.clear();
  const bool in_parts = layout.in_parts && mode.kind == StepMode::kMeans;
  if (in_parts)
    reducer->begin_in_parts(grains);
  else
    reducer->begin(grains);
  const std::int64_t first = reducer->first_leaf();
  std::vector<GrainReport> mine(static_cast<std::size_t>(reducer->last_leaf() - first)), all;
  const Failure failure = [&] {
    const SharedCasts casts(setup.train.precision == "bf16");
    return run_owned(first, reducer->last_leaf(), [&](std::int64_t g) {
      run_grain(plan, static_cast<std::size_t>(g), loss, mode, mine[static_cast<std::size_t>(g - first)]);
    });
  }();
  if (in_parts) reducer->end_parts();  // the others wait for this rank's part, even if it failed
  if (failure.problem.empty()) read_values();
  if (struck && mine.empty()) fault::not_struck();
  if (struck && !mine.empty()) mine.front().objective = kNan;
  StepOutcome out = exchange(plan, poll, failure, mine, all);
  if (curriculum.active() && mode.kind == StepMode::kMeans && layout.student) {
    const auto sums = losses_of(plan, all);
    for (std::size_t s = 0; s < sums.size(); ++s)
      if (!plan.ids[s].empty()) curriculum.add(plan.sources[s], sums[s]);
  }
  if (layout.sliced)
    out.sum = reducer->finish_slice();
  else
    out.sum = setup.native_reduction ? reducer->finish_native() : reducer->finish();
  combine(all, out);
  setup.tick();
  setup.progress(plan.samples);
  return out;
}

}  // namespace expunge
