#include "engine/context.hpp"

#include <algorithm>
#include <numeric>
#include <set>

#include "core/error.hpp"
#include "core/log.hpp"
#include "engine/context_impl.hpp"

namespace expunge {

Context::Impl::Impl(Setup s)
    : setup(std::move(s)),
      optimizer(setup.train.optimizer, setup.parameters->trainable),
      curriculum(setup.train, setup.task->outputs()),
      clock(std::chrono::steady_clock::now()) {
  std::int64_t bound = 0;
  for (const auto* ids : {&setup.forget, &setup.retain, &setup.unseen})
    if (!ids->empty()) bound = std::max(bound, *std::max_element(ids->begin(), ids->end()) + 1);
  forget_member.assign(static_cast<std::size_t>(bound), 0);
  for (auto id : setup.forget) forget_member[static_cast<std::size_t>(id)] = 1;
  if (setup.eval_frozen) {
    for (const auto& module : setup.model->modules(false)) {
      const auto own = module->parameters();
      if (!own.empty() &&
          std::none_of(own.begin(), own.end(), [](const torch::Tensor& p) { return p.requires_grad(); }))
        frozen_modules.push_back(module.get());
    }
  }
  if (setup.load_ahead) ahead = std::make_unique<InputAhead>(*setup.samples, setup.device);
  if (setup.capture) graphs = std::make_unique<StudentGraphs>(*setup.model, *setup.parameters, setup.capture);
  if (setup.resume) restore(*setup.resume);
  resumed = std::move(setup.resume);
  setup.resume.reset();
}

Context::Context(Setup setup) : impl_(std::make_unique<Impl>(std::move(setup))) {}
Context::~Context() = default;

namespace {

SampleIds shared(std::vector<std::int64_t> ids) {
  return std::make_shared<const std::vector<std::int64_t>>(std::move(ids));
}

}  // namespace

Stream Context::forget() const { return of_ids("forget", impl_->setup.forget); }
Stream Context::retain() const { return of_ids("retain", impl_->setup.retain); }
Stream Context::unseen() const { return of_ids("unseen", impl_->setup.unseen); }
Stream Context::of_ids(const std::string& name, std::vector<std::int64_t> ids) const {
  return {{Source{name, shared(std::move(ids))}}};
}

Stream Context::of_samples(const std::string& name, std::int64_t count,
                           std::shared_ptr<const SampleSource> samples) const {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(count));
  std::iota(ids.begin(), ids.end(), 0);
  return {{Source{name, shared(std::move(ids)), 0, std::move(samples)}}};
}

Stream Context::mix(const Stream& a, const Stream& b) const {
  EXPUNGE_CHECK(a.sources.size() == 1 && b.sources.size() == 1, "mix takes streams of one source");
  EXPUNGE_CHECK(!a.sources[0].samples && !b.sources[0].samples, "mix takes streams of training samples");
  auto ids = *a.sources[0].ids;
  ids.insert(ids.end(), b.sources[0].ids->begin(), b.sources[0].ids->end());
  return of_ids("mix", std::move(ids));
}

Stream Context::subset(const Stream& of, std::int64_t count, const std::string& purpose) const {
  EXPUNGE_CHECK(of.sources.size() == 1, "subset takes a stream of one source");
  const auto& all = *of.sources[0].ids;
  const auto population = static_cast<std::int64_t>(all.size());
  std::vector<std::int64_t> ids;
  for (auto i : Rng(impl_->setup.seed, purpose).sample(std::min(count, population), population))
    ids.push_back(all[static_cast<std::size_t>(i)]);
  std::sort(ids.begin(), ids.end());
  return of_ids(of.sources[0].name + "." + purpose, std::move(ids));
}

const SampleSource& Context::samples() const { return *impl_->setup.samples; }
std::int64_t Context::classes() const { return task().classes(); }
const tasks::Task& Context::task() const { return *impl_->setup.task; }

models::Tensors Context::student(const Batch& b) {
  impl_->grain_student += static_cast<double>(b.size());
  if (torch::GradMode::is_enabled()) impl_->grain_graphs += static_cast<double>(b.size());
  return impl_->forward_student(b);
}

namespace {

Rng relabelling(std::uint64_t seed, const Batch& b, bool redraw) {
  const Rng rng(seed, "relabel");
  return redraw ? rng.sub(static_cast<std::uint64_t>(b.pass)) : rng;
}

}  // namespace

Batch Context::corrupted(const Batch& b, const std::string& mode, bool redraw) const {
  return task().corrupted(b, mode, relabelling(impl_->setup.seed, b, redraw));
}
Batch Context::preferred(const Batch& b, bool redraw) const {
  return task().preferred(b, relabelling(impl_->setup.seed, b, redraw));
}

models::Tensors Teacher::operator()(const Batch& b) const { return state_->about(b, b); }
models::Tensors Teacher::operator()(const Batch& b, const torch::Tensor& rows) const {
  return state_->about(rows_of(b, rows), b);
}

models::Tensors Teacher::State::about(const Batch& b, const Batch& whole) {
  const torch::NoGradGuard no_grad;
  run->grain_teacher += static_cast<double>(b.size());
  // The very tensors that were loaded: a batch that a method changed is another input.
  const bool as_loaded =
      run->setup.inputs_repeat && !run->grain_inputs.empty() &&
      std::all_of(run->grain_inputs.begin(), run->grain_inputs.end(), [&](const auto& input) {
        const auto found = whole.inputs.find(input.first);
        return found != whole.inputs.end() && found->second.is_same(input.second);
      });
  return as_loaded ? answers_by_sample(b) : answer(b);
}

models::Tensors Teacher::State::answer(const Batch& b) const {
  const models::Tensors all = run->forward(*model, b);
  models::Tensors out;
  for (const auto& name : read)
    if (const auto found = all.find(name); found != all.end()) out[name] = found->second;
  run->setup.task->complete(out, b);
  return out;
}

models::Tensors Teacher::State::answers_by_sample(const Batch& b) {
  std::map<std::string, std::vector<torch::Tensor>> rows;
  for (std::int64_t i = 0; i < b.size(); ++i) {
    const auto id = b.ids[static_cast<std::size_t>(i)];
    if (const auto found = known.find(id); found != known.end()) {
      run->grain_kept += 1;
      for (const auto& [name, row] : found->second) rows[name].push_back(row);
      continue;
    }
    const models::Tensors one = answer(rows_of(b, torch::tensor({i}, torch::kLong).to(b.labels.device())));
    std::int64_t bytes = 0;
    for (const auto& [name, row] : one) {
      rows[name].push_back(row);
      bytes += static_cast<std::int64_t>(row.nbytes());
    }
    if (run->kept_bytes + bytes > run->setup.teacher_bytes) continue;
    run->kept_bytes += bytes;
    known.emplace(id, one);
  }
  models::Tensors out;
  for (const auto& [name, parts] : rows) out[name] = at::cat(parts);
  return out;
}

namespace {

// Another network of the student's architecture, in eval mode and without gradients.
std::shared_ptr<Teacher::State> make_frozen(Context::Impl& run, const std::vector<std::string>& outputs) {
  auto state = std::make_shared<Teacher::State>();
  state->run = &run;
  state->read = run.setup.task->reads();
  state->read.insert(state->read.end(), outputs.begin(), outputs.end());
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

Teacher Context::freeze(const std::vector<std::string>& outputs) {
  Impl& run = *impl_;
  auto state = make_frozen(run, outputs);
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
  auto state = make_frozen(*impl_, {});
  state->model->initialize(Rng(impl_->setup.seed, "badinit"));
  return Teacher(state);
}

std::shared_ptr<models::Model> Context::new_model() const { return impl_->setup.make_model(); }

Companion Context::companion(const std::string& name, std::shared_ptr<models::Model> model,
                             const config::OptimizerOptions& optimizer, bool counted) {
  Impl& run = *impl_;
  auto state = std::make_shared<Companion::State>();
  state->name = name;
  state->run = &run;
  state->counted = counted;
  state->model = std::move(model);
  state->model->initialize(Rng(run.setup.seed, name));
  state->parameters = std::make_unique<tensor::FlatParameters>(
      *state->model, run.setup.device, [](const std::string&) { return true; }, optimizer.decay);
  state->optimizer = std::make_unique<tensor::Optimizer>(optimizer, state->parameters->trainable);
  for (const auto& other : run.companions)
    EXPUNGE_CHECK(other->name != name, "two companions are called {}", name);
  run.companions.push_back(state);
  if (run.resumed) run.restore_companion(*state);
  return Companion(state);
}

models::Tensors Companion::operator()(const Batch& b) const {
  if (state_->counted) state_->run->grain_student += static_cast<double>(b.size());
  return state_->run->forward(*state_->model, b);
}
models::Tensors Companion::operator()(const models::Tensors& inputs) const {
  return state_->model->forward(inputs);
}
tensor::FlatBuffer& Companion::layout() const { return state_->parameters->trainable; }
models::Model& Companion::model() const { return *state_->model; }

torch::Tensor Context::noise(const std::string& purpose) const {
  const torch::NoGradGuard no_grad;
  const Rng rng(seed(), purpose);
  torch::Tensor out = torch::zeros({layout().size()}, torch::kFloat);
  float* x = out.data_ptr<float>();
  for (const auto& e : layout().entries) {
    const Rng own = rng.sub(e.name);
    for (std::int64_t i = 0; i < e.numel; ++i)
      x[e.offset + i] = static_cast<float>(own.normal(static_cast<std::uint64_t>(i)));
  }
  return out.to(impl_->setup.device);
}

Context::Head Context::head() const {
  Head out;
  for (auto& p : impl_->setup.model->named_parameters()) {
    if (!is_head(p.key())) continue;
    (p.value().dim() > 1 ? out.weight : out.bias) = p.value();
  }
  return out;
}

bool Context::is_head(const std::string& tensor) const {
  const std::string prefix = impl_->setup.model->head_prefix();
  return !prefix.empty() && (tensor == prefix + ".weight" || tensor == prefix + ".bias");
}

std::int64_t Context::requests() const { return impl_->setup.requests; }
std::int64_t Context::request() const { return impl_->setup.request; }

torch::Tensor Context::carried(const std::string& name) const {
  const auto* all = impl_->setup.carried;
  if (!all) return {};
  const auto found = all->find(name);
  return found == all->end() ? torch::Tensor() : found->second;
}

void Context::carry(const std::string& name, const torch::Tensor& value) {
  if (impl_->setup.carried) (*impl_->setup.carried)[name] = value.detach().to(torch::kFloat).clone();
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
