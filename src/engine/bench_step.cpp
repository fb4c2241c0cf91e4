// `expunge bench step`: seconds of the engine's training step on synthetic images or texts, beside a bare
// LibTorch loop over the same grains (same model, same optimiser; no journal, no ledger, no other ranks),
// with the share of communication.
#include <algorithm>
#include <chrono>

#include "core/error.hpp"
#include "core/text.hpp"
#include "engine/context.hpp"
#include "engine/run.hpp"
#include "engine/setup.hpp"
#include "models/input_kind.hpp"
#include "tensor/optimizer.hpp"

namespace expunge {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

// Fixed random images or texts, made once; loading copies them as a real source would.
class SyntheticSamples : public SampleSource {
 public:
  SyntheticSamples(std::int64_t count, const models::InputShape& shape, std::int64_t vocabulary)
      : labels_(torch::randint(shape.classes, {count})) {
    if (shape.channels > 0) {
      inputs_["pixel_values"] = torch::rand({count, shape.channels, shape.height, shape.width});
    } else {
      inputs_["input_ids"] = torch::randint(std::min<std::int64_t>(5, vocabulary - 1), vocabulary,
                                            {count, shape.tokens}, torch::kLong);
      inputs_["attention_mask"] = torch::ones({count, shape.tokens}, torch::kLong);
    }
  }
  void load(const std::vector<std::int64_t>& ids, std::int64_t, Batch& into) const override {
    const torch::Tensor rows = torch::tensor(ids);
    for (const auto& [name, value] : inputs_) into.inputs[name] = value.index_select(0, rows);
    into.labels = labels_.index_select(0, rows);
  }

 private:
  models::Tensors inputs_;
  torch::Tensor labels_;
};

struct Case {
  std::string model;
  models::InputShape shape;
  config::TrainOptions train;
  std::int64_t grain = 32, steps = 30, warm = 5;
  nlohmann::json config;
  models::Cost cost;
  std::shared_ptr<models::Model> make() const {
    auto m = models::build(config);
    m->initialize(Rng(1, "bench"));
    return m;
  }
};

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : v[v.size() / 2];
}

// The step that any LibTorch user would write over the same grains.
std::vector<double> bare_loop(const Case& c, const SyntheticSamples& samples) {
  const auto model = c.make();
  tensor::FlatParameters parameters(
      *model, torch::kCPU, [](const std::string&) { return true; }, c.train.optimizer.decay);
  tensor::Optimizer optimizer(c.train.optimizer, parameters.trainable);
  const auto task = tasks::make_classification(c.shape.classes);
  torch::Tensor gradient = torch::zeros({parameters.trainable.size()});
  parameters.bind_gradients(gradient);
  model->train();
  for (models::BatchNorm* bn : model->batch_norms())
    bn->batch_mean = torch::zeros_like(bn->running_mean), bn->batch_var = torch::zeros_like(bn->running_var);
  std::vector<double> seconds;
  for (std::int64_t step = 0; step < c.warm + c.steps; ++step) {
    const auto begin = Clock::now();
    gradient.zero_();
    for (std::int64_t at = 0; at < c.train.batch; at += c.grain) {
      Batch b;
      for (std::int64_t i = at; i < std::min(at + c.grain, c.train.batch); ++i) b.ids.push_back(i);
      samples.load(b.ids, 0, b);
      (task->loss(model->forward(b.inputs), b.labels).sum() / static_cast<double>(c.train.batch)).backward();
    }
    optimizer.step(parameters.trainable, gradient, 1,
                   tensor::clip_factor(tensor::gradient_norm(gradient), c.train.clip));
    if (step >= c.warm) seconds.push_back(seconds_since(begin));
  }
  return seconds;
}

struct StepTimes {
  std::vector<double> seconds;
  double comm_share = 0;
};

StepTimes engine_steps(const Case& c, const SyntheticSamples& samples, comm::Communicator& comm) {
  StepTimes out;
  const auto task = tasks::make_classification(c.shape.classes);
  auto begin = Clock::now();
  std::int64_t step = 0;
  double comm_before = 0;
  Clock::time_point measured_from;
  Context::Setup s;
  s.comm = &comm;
  s.model = c.make();
  s.parameters = std::make_shared<tensor::FlatParameters>(
      *s.model, torch::kCPU, [](const std::string&) { return true; }, c.train.optimizer.decay);
  s.make_model = [&] { return c.make(); };
  s.task = task.get();
  s.samples = &samples;
  for (std::int64_t i = 0; i < c.train.batch; ++i) s.retain.push_back(i);
  s.train = c.train;
  s.grain = c.grain;
  s.total_steps = c.warm + c.steps;
  s.cost = c.cost;
  s.poll = [&] {  // asked once, at the start of each step
    const auto now = Clock::now();
    if (step > c.warm) out.seconds.push_back(std::chrono::duration<double>(now - begin).count());
    if (step == c.warm) comm_before = comm.seconds(), measured_from = now;
    begin = now;
    ++step;
    return 0;
  };
  Context ctx(std::move(s));
  for (std::int64_t e = 0; e < c.warm + c.steps; ++e)
    ctx.epoch(ctx.retain(), [&](const Batch& b) {
      return Terms{{"loss", ctx.task().loss(ctx.student(b), b.labels)}};
    });
  out.seconds.push_back(seconds_since(begin));
  out.comm_share = (comm.seconds() - comm_before) / seconds_since(measured_from);
  return out;
}

}  // namespace

int bench_step(comm::Runtime& runtime, const nlohmann::json& request) {
  if (!request.value("method", "").empty()) return bench_methods(runtime, request);
  comm::Communicator& world = runtime.world();
  Case c;
  c.model = request.value("model", "resnet20");
  const auto* d = models::find_descriptor(c.model);
  if (!d)
    throw ConfigError(
        fmt::format("unknown model \"{}\"{}", c.model, did_you_mean(c.model, models::model_names())));
  if (d->task != "classification")
    throw ConfigError(fmt::format("{} is no classifier: bench step --method all", c.model));
  c.shape = {request.value("channels", std::int64_t{3}), request.value("size", std::int64_t{32}),
             request.value("size", std::int64_t{32}), request.value("classes", std::int64_t{10})};
  if (models::input_kind(*d) == models::InputKind::kTexts)
    c.shape = {0, 1, c.shape.width, c.shape.classes, c.shape.width, 0};
  c.train.batch = request.value("batch", std::int64_t{128});
  c.grain = request.value("grain", std::int64_t{0});
  if (c.grain <= 0) c.grain = config::default_grain(c.train.batch, d->has_batch_norm);
  c.steps = request.value("steps", std::int64_t{30});
  c.config = d->config(c.model, c.shape);
  c.cost = d->cost(c.config, c.shape.height, c.shape.width);
  at::manual_seed(7);
  const SyntheticSamples inputs(c.train.batch, c.shape, c.config.value("vocab_size", std::int64_t{0}));

  // Alternating rounds, so that what disturbs the machine disturbs both.
  std::vector<double> bare, engine, shares;
  for (int round = 0; round < 3; ++round) {
    if (world.size() == 1)
      for (double s : bare_loop(c, inputs)) bare.push_back(s);
    auto measured = engine_steps(c, inputs, world);
    for (double& s : measured.seconds) {
      const auto all = world.all_gather_value(s);
      s = *std::max_element(all.begin(), all.end());
    }
    engine.insert(engine.end(), measured.seconds.begin(), measured.seconds.end());
    shares.push_back(measured.comm_share);
    runtime.tick();
  }
  if (world.rank() != 0) return kExitOk;
  const double step = median(engine), samples = static_cast<double>(c.train.batch) / step;
  fmt::print("model {}  batch {}  grain {}  ranks {}  transport {}\n", c.model, c.train.batch, c.grain,
             world.size(), world.transport());
  fmt::print(
      "engine step {:.2f} ms (fastest {:.2f}, slowest {:.2f}), {:.0f} samples/s, {}/s, communication {:.1f} "
      "%\n",
      step * 1e3, *std::min_element(engine.begin(), engine.end()) * 1e3,
      *std::max_element(engine.begin(), engine.end()) * 1e3, samples,
      human_flops(samples * (c.cost.forward + c.cost.backward)), median(shares) * 100);
  if (!bare.empty())
    fmt::print("bare loop   {:.2f} ms; engine / bare = {:.3f}\n", median(bare) * 1e3, step / median(bare));
  std::fflush(stdout);
  return kExitOk;
}

}  // namespace expunge
