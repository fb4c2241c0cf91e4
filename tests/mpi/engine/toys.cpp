// The toys and the harness that runs methods on them.
#include "tests/mpi/engine/toys.hpp"

#include <ATen/Parallel.h>

#include <algorithm>

#include "core/error.hpp"
#include "methods/runner_registry.hpp"

namespace expunge::test {
namespace {

std::vector<std::int64_t> range(std::int64_t from, std::int64_t to) {
  std::vector<std::int64_t> out;
  for (auto i = from; i < to; ++i) out.push_back(i);
  return out;
}

}  // namespace

Toy Toy::with(nlohmann::json changes) const {
  Toy out = *this;
  out.options.update(changes);
  return out;
}

Toy quad_toy(std::vector<std::vector<float>> targets, std::vector<std::int64_t> forget,
             std::vector<std::int64_t> retain, std::vector<float> start) {
  Toy toy;
  const auto n = static_cast<std::int64_t>(targets.size());
  torch::Tensor a = torch::zeros({n, 2});
  for (std::int64_t i = 0; i < n; ++i) a[i] = torch::tensor(targets[static_cast<std::size_t>(i)]);
  toy.make = quad(std::move(start));
  toy.task = quad_task();
  toy.samples = std::make_shared<Rows>("a", a, torch::zeros({n}, torch::kLong));
  toy.forget = std::move(forget), toy.retain = std::move(retain);
  toy.options = {{"optimizer", "sgd"}, {"lr", 0.1},   {"momentum", 0},          {"weight_decay", 0},
                 {"clip", 0},          {"epochs", 3}, {"schedule", "constant"}, {"batch", 64}};
  toy.grain = 1;
  return toy;
}

Toy logit_toy(std::int64_t samples, std::int64_t classes, std::vector<std::int64_t> forget) {
  Toy toy;
  toy.make = logit(samples, classes);
  toy.classes = classes;
  toy.task = tasks::make_classification(classes);
  toy.samples = std::make_shared<Rows>("index", torch::arange(samples, torch::kLong),
                                       torch::arange(samples, torch::kLong).remainder(classes));
  toy.forget = std::move(forget);
  for (std::int64_t i = 0; i < samples; ++i)
    if (std::find(toy.forget.begin(), toy.forget.end(), i) == toy.forget.end()) toy.retain.push_back(i);
  toy.options = {{"optimizer", "sgd"}, {"lr", 1},     {"momentum", 0},          {"weight_decay", 0},
                 {"clip", 0},          {"epochs", 1}, {"schedule", "constant"}, {"batch", 64}};
  toy.grain = 2;
  return toy;
}

Toy mlp_toy(std::int64_t forget, std::int64_t retain, double dropout) {
  Toy toy;
  const std::int64_t n = forget + retain + kUnseen;
  const Rng rng(7, "points");
  torch::Tensor x = torch::zeros({n, 2}), y = torch::zeros({n}, torch::kLong);
  for (std::int64_t i = 0; i < n; ++i) {
    // Class 0 on the left, class 1 on the right; D_f belongs to class 1, but lies above class 0.
    const bool in_forget = i < forget;
    const std::int64_t label = in_forget ? 1 : i % 2;
    const double cx = in_forget ? -2 : (label == 1 ? 2 : -2), cy = in_forget ? 3 : 0;
    x[i][0] = cx + 0.4 * rng.normal(static_cast<std::uint64_t>(i), 0);
    x[i][1] = cy + 0.4 * rng.normal(static_cast<std::uint64_t>(i), 1);
    y[i] = label;
  }
  toy.make = mlp(dropout);
  toy.task = tasks::make_classification(2);
  toy.samples = std::make_shared<Rows>("x", x, y);
  toy.forget = range(0, forget), toy.retain = range(forget, forget + retain);
  toy.unseen = range(forget + retain, n);
  toy.classes = 2;
  return toy;
}

Toy conv_toy(std::int64_t forget, std::int64_t retain, double dropout) {
  Toy toy;
  const std::int64_t n = forget + retain + kUnseen;
  const Rng rng(8, "images");
  torch::Tensor x = torch::zeros({n, 1, 6, 6});
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < 36; ++j)
      x[i].view({-1})[j] = rng.normal(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(j)) +
                           (j % 3 == i % 3 ? 1.0 : 0.0);
  toy.make = conv_net(dropout);
  toy.task = tasks::make_classification(3);
  toy.samples = std::make_shared<Rows>("pixel_values", x, torch::arange(n, torch::kLong).remainder(3));
  toy.forget = range(0, forget), toy.retain = range(forget, forget + retain);
  toy.unseen = range(forget + retain, n);
  toy.classes = 3;
  return toy;
}

std::vector<methods::Phase> plan_of(const std::string& method, const Toy& toy) {
  config::Diagnostics problems;
  auto in = config::Reader::resolved("method." + method, toy.options, problems);
  const methods::Sizes sizes{static_cast<std::int64_t>(toy.forget.size()),
                             static_cast<std::int64_t>(toy.retain.size()), toy.classes,
                             static_cast<std::int64_t>(toy.unseen.size()), toy.task->answers_are_inputs()};
  auto phases = methods::find_descriptor(method)->plan(in, sizes);
  in.finish();
  problems.throw_if_any();
  return phases;
}

torch::Tensor logit_rows(const torch::Tensor& values, const Toy& toy) {
  const auto n = static_cast<std::int64_t>(toy.forget.size() + toy.retain.size());
  return values.slice(0, 0, n * 4).view({n, 4});
}

void share(store::Checkpoint& c, comm::Communicator& comm) {
  nlohmann::json all = {
      {"id", c.cell_id}, {"sequence", c.sequence}, {"state", c.state}, {"f32", c.f32}, {"f64", c.f64}};
  const auto packed = nlohmann::json::to_cbor(all);
  std::string text(packed.begin(), packed.end());
  comm.broadcast_text(text, 0);
  all = nlohmann::json::from_cbor(text);
  c.cell_id = all["id"], c.sequence = all["sequence"], c.state = all["state"];
  c.f32 = all["f32"].get<std::map<std::string, std::vector<float>>>();
  c.f64 = all["f64"].get<std::map<std::string, std::vector<double>>>();
}

comm::Communicator& alone() {
  static const auto self = comm::make_self();
  return *self;
}

namespace {

// The model with its starting parameters, in flat buffers.
std::pair<std::shared_ptr<models::Model>, std::shared_ptr<tensor::FlatParameters>> start_of(
    const Toy& toy, const std::string& method = {}) {
  auto model = toy.make();
  model->initialize(Rng(toy.seed, "start"));
  if (toy.start.defined()) {  // of the network as it is before a method adds to it
    const tensor::FlatParameters whole(*model, torch::kCPU, toy.trainable, "trainer");
    const torch::NoGradGuard no_grad;
    torch::Tensor values = whole.trainable.values;
    values.copy_(toy.start);
  }
  const auto trains = methods::prepare(method, toy.options, *model, toy.seed);
  auto flat = std::make_shared<tensor::FlatParameters>(
      *model, torch::kCPU,
      [&](const std::string& name) { return (!trains || trains(name)) && toy.trainable(name); }, "trainer");
  return {model, flat};
}

}  // namespace

namespace {

// Runs what a setup is made for; what it has cost goes to `report`, also when it is interrupted.
using Drive = std::function<void(Context::Setup, RunReport& report)>;

Drive once_over(const Program& program) {
  return [program](Context::Setup setup, RunReport& report) {
    Context ctx(std::move(setup));
    try {
      program(ctx);
    } catch (const Interrupted&) {
      report = ctx.report();
      throw;
    }
    report = ctx.report();
  };
}

// What a run of any program over the toy shares.
ToyResult run_toy(const std::string& method, const Drive& drive, const Toy& toy,
                  const config::TrainOptions& train, std::int64_t scheduled_steps, comm::Communicator& comm,
                  std::int64_t stop_after, const store::Checkpoint* resume) {
  at::set_num_threads(1);
  ToyResult out;
  const auto [model, flat] = start_of(toy, method);
  out.start = flat->trainable.values.clone();
  if (flat->buffers.size() > 0) out.start_buffers = flat->buffers.values.clone();
  if (flat->frozen.size() > 0) out.start_frozen = flat->frozen.values.clone();

  Context::Setup s;
  s.comm = &comm;
  s.model = model, s.parameters = flat;
  s.make_model = [&] {
    out.teachers.push_back(toy.make());
    methods::prepare(method, toy.options, *out.teachers.back(), toy.seed);
    return out.teachers.back();
  };
  s.task = toy.task.get(), s.samples = toy.samples.get();
  s.forget = toy.forget, s.retain = toy.retain, s.unseen = toy.unseen;
  s.inspect = toy.inspect;
  s.train = train;
  s.grain = toy.grain, s.seed = toy.run_seed ? toy.run_seed : toy.seed;
  s.eval_frozen = toy.eval_frozen;
  s.inputs_repeat = toy.inputs_repeat, s.teacher_bytes = toy.teacher_bytes;
  s.total_steps = scheduled_steps;
  s.cost = toy.cost, s.budget_flops = toy.budget_flops;
  s.cell_id = "toy";
  std::int64_t asked = 0;
  s.poll = [&] { return ++asked == stop_after ? kPollStop : 0; };
  s.save = [&](const store::Checkpoint& c) { out.checkpoint = c; };
  if (resume) s.resume = *resume;
  if (toy.change) toy.change(s);

  try {
    drive(std::move(s), out.report);
  } catch (const Interrupted&) {
    out.interrupted = true;
    share(out.checkpoint, comm);
  }
  out.hash = flat->hash();
  out.values = flat->trainable.values.clone();
  if (flat->buffers.size() > 0) out.buffers = flat->buffers.values.clone();
  if (flat->frozen.size() > 0) out.frozen = flat->frozen.values.clone();
  out.layout = flat->trainable;
  return out;
}

}  // namespace

ToyResult run_method(const std::string& method, const Toy& toy, comm::Communicator& comm,
                     std::int64_t stop_after, const store::Checkpoint* resume) {
  const auto* runner = methods::find_runner(method);
  EXPUNGE_CHECK(runner, "no runner {}", method);
  config::Diagnostics problems;
  auto train_in = config::Reader::resolved("method." + method, toy.options, problems);
  const auto train = runner->train(train_in);
  std::int64_t scheduled = 0;
  for (const auto& phase : plan_of(method, toy))
    if (phase.scheduled) scheduled += phase.steps;
  auto in = config::Reader::resolved("method." + method, toy.options, problems);
  problems.throw_if_any();
  return run_toy(method, once_over([&](Context& ctx) { return runner->run(in, ctx); }), toy, train, scheduled,
                 comm, stop_after, resume);
}

ToyResult run_requested(const std::string& method, const Toy& toy, const std::vector<Request>& requests,
                        comm::Communicator& comm, RequestsRun& run, std::int64_t stop_after,
                        const store::Checkpoint* resume) {
  const auto* runner = methods::find_runner(method);
  config::Diagnostics problems;
  auto train_in = config::Reader::resolved("method." + method, toy.options, problems);
  RequestHooks hooks;
  hooks.program = [&](Context& ctx) {
    auto in = config::Reader::resolved("method." + method, toy.options, problems);
    return runner->run(in, ctx);
  };
  hooks.measure = [](std::size_t j) {
    const auto x = static_cast<double>(j);
    return Measured{x, x + 0.1, x + 0.2, x + 0.3};
  };
  return run_toy(
      method,
      [&](Context::Setup setup, RunReport& report) {
        run = run_requests(std::move(setup), requests, hooks);
        report = run.report;
      },
      toy, runner->train(train_in), 0, comm, stop_after, resume);
}

ToyResult run_program(const Program& program, const Toy& toy, comm::Communicator& comm) {
  config::Diagnostics problems;
  auto in = config::Reader::resolved("program", toy.options, problems);
  const auto train = config::read_train_options(in, {});
  problems.throw_if_any();
  return run_toy({}, once_over(program), toy, train, 1000, comm, 0, nullptr);
}

namespace {

models::Tensors outputs_of(const Toy& toy, const torch::Tensor& values, const Batch& b,
                           const std::string& method = {}) {
  const torch::NoGradGuard no_grad;
  const auto [model, flat] = start_of(toy, method);
  if (values.defined()) flat->trainable.values.copy_(values);
  model->eval();
  return model->forward(b.inputs);
}

}  // namespace

double mean_loss(const Toy& toy, const torch::Tensor& values, const std::vector<std::int64_t>& ids,
                 const std::string& method) {
  Batch b;
  toy.samples->load(ids, 0, b);
  return toy.task->loss(outputs_of(toy, values, b, method), b.labels).mean().item<double>();
}

double mean_divergence(const Toy& toy, const torch::Tensor& values, const std::vector<std::int64_t>& ids,
                       double temperature) {
  Batch b;
  toy.samples->load(ids, 0, b);
  return toy.task->divergence(outputs_of(toy, {}, b), outputs_of(toy, values, b), temperature)
      .mean()
      .item<double>();
}

}  // namespace expunge::test
