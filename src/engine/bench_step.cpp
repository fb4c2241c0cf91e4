// `expunge bench step`: seconds of the engine's training step on synthetic images or texts, beside a bare
// LibTorch loop over the same grains (same model, same optimiser; no journal, no ledger, no other ranks),
// with the share of communication and the page faults of a step.
#include <ATen/Parallel.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/median.hpp"
#include "core/text.hpp"
#include "engine/autocast.hpp"
#include "engine/context.hpp"
#include "engine/device.hpp"
#include "engine/device_source.hpp"
#include "engine/run.hpp"
#include "engine/setup.hpp"
#include "models/config_json.hpp"
#include "models/input_kind.hpp"
#include "tasks/answers.hpp"
#include "tensor/optimizer.hpp"

namespace expunge {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

// Page faults of this process so far, those that read a disk included.
double page_faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_minflt + usage.ru_majflt);
}

// Fixed random images or texts, made once; loading copies them as a real source would. Ids beyond the last
// begin again. A language model's labels are its tokens.
class SyntheticSamples : public SampleSource {
 public:
  SyntheticSamples(std::int64_t count, const models::InputShape& shape, bool language_model) {
    if (shape.channels > 0) {
      inputs_["pixel_values"] = torch::rand({count, shape.channels, shape.height, shape.width});
    } else {
      inputs_["input_ids"] = torch::randint(std::min<std::int64_t>(5, shape.vocabulary - 1), shape.vocabulary,
                                            {count, shape.tokens}, torch::kLong);
      inputs_["attention_mask"] = torch::ones({count, shape.tokens}, torch::kLong);
    }
    labels_ = language_model ? inputs_["input_ids"] : torch::randint(shape.classes, {count});
  }
  void load(const std::vector<std::int64_t>& ids, std::int64_t, Batch& into) const override {
    const torch::Tensor rows = torch::tensor(ids).remainder_(labels_.size(0));
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
  bool language_model = false, cuda_graphs = false;
  Device device;
  std::string device_name() const {
    return device.gpu ? device.gpu->device(device.gpu->current_device()).name : "cpu";
  }
  std::shared_ptr<models::Model> make() const {
    auto m = models::build(config);
    m->initialize(Rng(1, "bench"));
    return m;
  }
  std::unique_ptr<tasks::Task> task() const {
    return language_model ? tasks::make_causal_lm(shape.vocabulary, {})
                          : tasks::make_classification(shape.classes);
  }
};

// A registered size, or any config.json of a known family.
Case read_case(const nlohmann::json& request) {
  Case c;
  c.model = request.value("model", "resnet20");
  const std::string file = request.value("config", "");
  const models::Descriptor* d = nullptr;
  if (file.empty()) {
    d = models::find_descriptor(c.model);
    if (!d)
      throw ConfigError(
          fmt::format("unknown model \"{}\"{}", c.model, did_you_mean(c.model, models::model_names())));
  } else {
    c.config = nlohmann::json::parse(read_file(file), nullptr, false);
    if (!c.config.is_object()) throw DataError::corrupt(fmt::format("{}: no JSON object", file));
    c.model = models::field<std::string>(c.config, "model_type", "");
    d = models::find_by_model_type(c.model);
    if (!d) throw ConfigError(fmt::format("{}: unknown model_type \"{}\"", file, c.model));
  }
  const auto kind = models::input_kind(*d);
  c.language_model = d->task == "causal_lm";
  if (kind == models::InputKind::kPairs || kind == models::InputKind::kGraph ||
      !(c.language_model || d->task == "classification"))
    throw ConfigError(
        fmt::format("{} reads neither images nor texts alone: bench step --method all", c.model));
  const auto size = request.value("size", std::int64_t{32});
  c.shape = {request.value("channels", std::int64_t{3}), size, size,
             request.value("classes", std::int64_t{10})};
  if (kind == models::InputKind::kTexts) c.shape = {0, 1, size, c.shape.classes, size, 0};
  if (file.empty())
    c.config = d->config(c.model, c.shape);
  else
    c.shape.classes = models::class_count(c.config);
  c.shape.vocabulary = models::field<std::int64_t>(c.config, "vocab_size", 0);
  if (kind == models::InputKind::kTexts && c.shape.vocabulary < 6)
    throw ConfigError(fmt::format("{}: a vocabulary of {}", c.model, c.shape.vocabulary));
  c.train.batch = request.value("batch", std::int64_t{128});
  c.train.precision = request.value("precision", "fp32");
  c.train.threads = request.value("threads", std::int64_t{1});
  if (c.train.precision != "fp32" && c.train.precision != "bf16" && c.train.precision != "tf32")
    throw AgreedError(kExitUsage,
                      fmt::format("--precision {}: expected fp32, bf16 or tf32", c.train.precision));
  c.cuda_graphs = request.value("cuda_graphs", false);
  c.grain = request.value("grain", std::int64_t{0});
  if (c.grain <= 0) c.grain = config::default_grain(c.train.batch, d->has_batch_norm);
  c.steps = request.value("steps", std::int64_t{30});
  c.warm = request.value("warm", std::int64_t{5});
  c.cost = d->cost(c.config, c.shape.height, c.shape.width);
  return c;
}

struct StepTimes {
  std::vector<double> seconds;        // of steps
  double comm_share = 0, faults = 0;  // page faults a step
};

// The step that any LibTorch user would write over the same grains.
StepTimes bare_loop(const Case& c, const SampleSource& samples) {
  const auto model = c.make();
  tensor::FlatParameters parameters(
      *model, c.device.where, [](const std::string&) { return true; }, c.train.optimizer.decay);
  tensor::Optimizer optimizer(c.train.optimizer, parameters.trainable);
  const auto task = c.task();
  torch::Tensor gradient = torch::zeros_like(parameters.trainable.values);
  parameters.bind_gradients(gradient);
  model->train();
  for (models::BatchNorm* bn : model->batch_norms())
    bn->batch_mean = torch::zeros_like(bn->running_mean), bn->batch_var = torch::zeros_like(bn->running_var);
  const auto forward = [&](const Batch& b) {
    const Autocast autocast(c.device.where, c.train.precision == "bf16");
    auto out = model->forward(b.inputs);
    task->complete(out, b);
    return out;
  };
  StepTimes out;
  double before = 0;
  for (std::int64_t step = 0; step < c.warm + c.steps; ++step) {
    if (step == c.warm) before = page_faults();
    const auto begin = Clock::now();
    gradient.zero_();
    for (std::int64_t at = 0; at < c.train.batch; at += c.grain) {
      Batch b;
      for (std::int64_t i = at; i < std::min(at + c.grain, c.train.batch); ++i) b.ids.push_back(i);
      samples.load(b.ids, 0, b);
      (task->loss(forward(b), b.labels).sum() / static_cast<double>(c.train.batch)).backward();
    }
    optimizer.step(parameters.trainable, gradient, 1,
                   tensor::clip_factor(tensor::gradient_norm(gradient), c.train.clip));
    if (c.device.gpu) c.device.gpu->synchronize(c.device.gpu->current_stream());
    if (step >= c.warm) out.seconds.push_back(seconds_since(begin));
  }
  out.faults = (page_faults() - before) / static_cast<double>(c.steps);
  return out;
}

StepTimes engine_steps(const Case& c, const SampleSource& samples, comm::Communicator& comm) {
  StepTimes out;
  const auto task = c.task();
  auto begin = Clock::now();
  std::int64_t step = 0;
  double comm_before = 0, faults_before = 0;
  Clock::time_point measured_from;
  Context::Setup s;
  s.comm = &comm;
  s.model = c.make();
  s.parameters = std::make_shared<tensor::FlatParameters>(
      *s.model, c.device.where, [](const std::string&) { return true; }, c.train.optimizer.decay);
  suit(s, c.device, c.cuda_graphs);
  s.make_model = [&] { return c.make(); };
  s.task = task.get();
  s.samples = &samples;
  // On a GPU all steps are one pass, for only inside a pass is a grain read while another is computed.
  const std::int64_t steps = c.warm + c.steps, passes = c.device.gpu ? 1 : steps;
  for (std::int64_t i = 0; i < c.train.batch * steps / passes; ++i) s.retain.push_back(i);
  s.train = c.train;
  s.grain = c.grain;
  s.total_steps = c.warm + c.steps;
  s.cost = c.cost;
  s.poll = [&] {  // asked once, at the start of each step
    const auto now = Clock::now();
    if (step > c.warm) out.seconds.push_back(std::chrono::duration<double>(now - begin).count());
    if (step == c.warm) comm_before = comm.seconds(), faults_before = page_faults(), measured_from = now;
    begin = now;
    ++step;
    return 0;
  };
  Context ctx(std::move(s));
  for (std::int64_t e = 0; e < passes; ++e)
    ctx.epoch(ctx.retain(), [&](const Batch& b) {
      return Terms{{"loss", ctx.task().loss(ctx.student(b), b.labels)}};
    });
  if (c.device.gpu) c.device.gpu->synchronize(c.device.gpu->current_stream());
  out.seconds.push_back(seconds_since(begin));
  out.comm_share = (comm.seconds() - comm_before) / seconds_since(measured_from);
  out.faults = (page_faults() - faults_before) / static_cast<double>(c.steps);
  return out;
}

// Over rounds.
struct Total {
  std::vector<double> seconds, comm_shares, faults;
  void add(const StepTimes& m) {
    seconds.insert(seconds.end(), m.seconds.begin(), m.seconds.end());
    comm_shares.push_back(m.comm_share);
    faults.push_back(m.faults);
  }
  double fastest() const { return *std::min_element(seconds.begin(), seconds.end()); }
  double slowest() const { return *std::max_element(seconds.begin(), seconds.end()); }
};

void print_case(const Case& c, comm::Communicator& world, const Total& engine, const Total& bare,
                bool as_json) {
  const double step = median(engine.seconds), samples = static_cast<double>(c.train.batch) / step;
  const double flops = samples * (c.cost.forward + c.cost.backward);
  if (as_json) {
    nlohmann::ordered_json line{{"model", c.model},
                                {"precision", c.train.precision},
                                {"device", c.device_name()},
                                {"cuda_graphs", c.cuda_graphs},
                                {"batch", c.train.batch},
                                {"grain", c.grain},
                                {"ranks", world.size()},
                                {"threads", c.train.threads},
                                {"transport", world.transport()},
                                {"step_s", step},
                                {"fastest_s", engine.fastest()},
                                {"slowest_s", engine.slowest()},
                                {"samples_per_s", samples},
                                {"flops_per_s", flops},
                                {"communication", median(engine.comm_shares)},
                                {"page_faults", median(engine.faults)}};
    if (!bare.seconds.empty()) line["bare_step_s"] = median(bare.seconds);
    fmt::print("{}\n", line.dump());
    return;
  }
  fmt::print("model {}  {}  batch {}  grain {}  ranks {}  threads {}  transport {}\n", c.model,
             c.train.precision, c.train.batch, c.grain, world.size(), c.train.threads, world.transport());
  fmt::print(
      "engine step {:.2f} ms (fastest {:.2f}, slowest {:.2f}), {:.2f} samples/s, {}/s, communication {:.1f} "
      "%, {:.0f} page faults a step\n",
      step * 1e3, engine.fastest() * 1e3, engine.slowest() * 1e3, samples, human_flops(flops),
      median(engine.comm_shares) * 100, median(engine.faults));
  if (!bare.seconds.empty())
    fmt::print("bare loop   {:.2f} ms, {:.0f} page faults a step; engine / bare = {:.3f}\n",
               median(bare.seconds) * 1e3, median(bare.faults), step / median(bare.seconds));
}

}  // namespace

int bench_step(comm::Runtime& runtime, const nlohmann::json& request) {
  if (!request.value("method", "").empty()) {
    if (request.value("device", "auto") == "cuda")
      throw AgreedError(kExitUsage, "--method is measured on the processor: without --device cuda");
    return bench_methods(runtime, request);
  }
  comm::Communicator& host = runtime.world();
  Case c = read_case(request);
  c.device = choose_device(runtime, request.value("device", "auto"));
  const auto ranks = comm::make_transport(host, "auto", c.device.gpu);
  comm::Communicator& world = *ranks;
  use_precision(c.train.precision, c.device.where);
  at::set_num_threads(static_cast<int>(c.train.threads));
  at::manual_seed(7);
  const auto source =
      on_device(std::make_unique<SyntheticSamples>(c.train.batch, c.shape, c.language_model), c.device.where);
  const SampleSource& inputs = *source;

  // Alternating rounds, so that what disturbs the machine disturbs both.
  Total bare, engine;
  for (std::int64_t round = 0; round < request.value("rounds", std::int64_t{3}); ++round) {
    if (world.size() == 1 && !request.value("no_bare", false)) bare.add(bare_loop(c, inputs));
    auto measured = engine_steps(c, inputs, world);
    for (double& s : measured.seconds) {
      const auto all = world.all_gather_value(s);
      s = *std::max_element(all.begin(), all.end());
    }
    engine.add(measured);
    runtime.tick();
  }
  if (world.rank() != 0) return kExitOk;
  print_case(c, world, engine, bare, request.value("json", false));
  std::fflush(stdout);
  return kExitOk;
}

}  // namespace expunge
