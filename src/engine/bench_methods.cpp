// `expunge bench step --method all`: seconds of whole runs of methods on synthetic samples, in units of a
// plain fine-tuning pass over as many samples as D_f holds, beside the same ratio of FLOPs (methods.md 5.9: a
// forward pass costs 2, a backward pass 4, so fine-tuning 6 a sample). A method that needs more than 1.3
// times its FLOPs' share of time is slow for reasons that are not arithmetic.
#include <algorithm>
#include <chrono>

#include "core/error.hpp"
#include "core/text.hpp"
#include "engine/context.hpp"
#include "engine/run.hpp"
#include "engine/setup.hpp"
#include "methods/runner_registry.hpp"
#include "models/input_kind.hpp"
#include "tasks/answers.hpp"

namespace expunge {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kMostOverFlops = 1.3;

struct Sizes {
  std::int64_t forget = 256, retain = 768, unseen = 128;
  std::int64_t all() const { return forget + retain + unseen; }
};

// Samples made once. Those of D_f are all of class 0 and no others are, so methods that forget classes run
// too.
class Synthetic : public SampleSource {
 public:
  Synthetic(const Sizes& sizes, const models::Descriptor& model, const models::InputShape& shape) {
    const std::int64_t n = sizes.all();
    const bool images = models::input_kind(model) != models::InputKind::kTexts;
    if (images) inputs_["pixel_values"] = torch::rand({n, shape.channels, shape.height, shape.width});
    if (model.takes_text) inputs_["input_ids"] = torch::randint(3, shape.vocabulary, {n, shape.tokens});
    if (model.takes_text && images)
      inputs_["image_id"] = inputs_["caption_id"] = torch::arange(n, torch::kLong);
    if (!images) inputs_["attention_mask"] = torch::ones({n, shape.tokens}, torch::kLong);
    if (model.task == "causal_lm") {
      labels_ = inputs_["input_ids"].clone();
      labels_.slice(1, 0, shape.tokens / 4).fill_(tasks::kIgnored);
    } else {
      labels_ = torch::randint(1, shape.classes, {n});
      labels_.slice(0, 0, sizes.forget).fill_(0);
    }
  }
  void load(const std::vector<std::int64_t>& ids, std::int64_t, Batch& into) const override {
    const torch::Tensor rows = torch::tensor(ids);
    for (const auto& [name, all] : inputs_) into.inputs[name] = all.index_select(0, rows);
    into.labels = labels_.index_select(0, rows);
  }

 private:
  models::Tensors inputs_;
  torch::Tensor labels_;
};

struct Bench {
  const models::Descriptor& model;
  nlohmann::json config;
  models::Cost cost;
  Sizes sizes;
  std::int64_t batch, grain;
  const tasks::Task& task;
  const Synthetic& samples;
};

struct MethodTime {
  double seconds = 0, flops = 0;
  Ledger ledger;
};

// Options that make a method's own phases as small as the rest.
nlohmann::json small(const std::string& method) {
  if (method == "kga")
    return {{"helper_epochs", 2}, {"retain_fraction", 1}, {"inner_step", 2}, {"stop_portion", 0}};
  if (method == "erm_ktp") return {{"erm_epochs", 2}};
  if (method == "unsir") return {{"noise_steps", 4}, {"noise_items", 128}, {"retain_per_class", 40}};
  if (method == "influence") return {{"samples", 64}};
  if (method == "dtd") return {{"sigma", 1e-6}};
  if (method == "l_codec")
    return {{"perturbations", 16},
            {"deletion_batch", 256},
            {"max_units", 2},
            {"hessian_samples", 16},
            {"noise", false}};
  return nlohmann::json::object();
}

MethodTime run_once(const Bench& bench, const std::string& method, comm::Communicator& comm) {
  const auto* runner = methods::find_runner(method);
  nlohmann::json options = {{"epochs", 2}, {"batch", bench.batch}, {"lr", 1e-5}, {"schedule", "constant"}};
  options.update(small(method));
  config::Diagnostics problems;
  auto train_in = config::Reader::resolved("method." + method, options, problems);
  Context::Setup s;
  s.train = runner->train(train_in);
  const auto make = [&] {
    auto m = models::build(bench.config);
    m->initialize(Rng(1, "bench"));
    return m;
  };
  s.comm = &comm;
  s.model = make();
  const auto trains = methods::prepare(method, options, *s.model, 1);
  s.parameters = std::make_shared<tensor::FlatParameters>(
      *s.model, torch::kCPU, [&](const std::string& name) { return !trains || trains(name); },
      s.train.optimizer.decay);
  s.make_model = [&] {
    auto m = make();
    methods::prepare(method, options, *m, 1);
    return m;
  };
  s.task = &bench.task;
  s.samples = &bench.samples;
  for (std::int64_t i = 0; i < bench.sizes.all(); ++i)
    (i < bench.sizes.forget                        ? s.forget
     : i < bench.sizes.forget + bench.sizes.retain ? s.retain
                                                   : s.unseen)
        .push_back(i);
  s.grain = bench.grain;
  s.total_steps = 1000;
  s.cost = bench.cost;
  s.inputs_repeat = s.train.epochs > 1;
  s.teacher_bytes = std::int64_t{256} << 20;
  auto in = config::Reader::resolved("method." + method, options, problems);
  problems.throw_if_any();
  Context ctx(std::move(s));
  comm.barrier();
  const auto begin = Clock::now();
  runner->run(in, ctx);
  MethodTime out;
  out.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  out.ledger = ctx.report().ledger;
  out.flops = (out.ledger.student_forward + out.ledger.teacher_forward) * bench.cost.forward +
              out.ledger.student_backward * bench.cost.backward;
  return out;
}

// Why a method cannot run here; empty where it can.
std::string lacking(const methods::Descriptor& method, const models::Descriptor& model) {
  using methods::Need;
  const auto kind = models::input_kind(model);
  for (const auto need : method.needs) {
    const bool lacks = (need == Need::kLabels && model.task != "classification") ||
                       (need == Need::kImages && kind == models::InputKind::kTexts) ||
                       (need == Need::kHead && !model.linear_head) ||
                       (need == Need::kPairs && kind != models::InputKind::kPairs) ||
                       (need == Need::kWholeEdges && kind != models::InputKind::kGraph);
    if (lacks) return methods::describe(need);
  }
  return "";
}

std::vector<std::string> chosen(const std::string& wish) {
  const auto names = methods::descriptor_names();
  if (wish == "all") return names;
  std::vector<std::string> out = split(wish, ',');
  for (const auto& name : out)
    if (!methods::find_descriptor(name))
      throw ConfigError(fmt::format("unknown method \"{}\"{}", name, did_you_mean(name, names)));
  return out;
}

}  // namespace

int bench_methods(comm::Runtime& runtime, const nlohmann::json& request) {
  const auto name = request.value("model", "resnet20");
  const auto* model = models::find_descriptor(name);
  if (!model)
    throw ConfigError(fmt::format("unknown model \"{}\"{}", name, did_you_mean(name, models::model_names())));
  models::InputShape shape{request.value("channels", std::int64_t{3}),
                           request.value("size", std::int64_t{32}), request.value("size", std::int64_t{32}),
                           request.value("classes", std::int64_t{10})};
  if (model->takes_text) shape.tokens = request.value("tokens", std::int64_t{128}), shape.vocabulary = 259;
  if (models::input_kind(*model) == models::InputKind::kTexts)
    shape.channels = 0, shape.height = 1, shape.width = shape.tokens;
  const Sizes sizes;
  at::manual_seed(7);
  const Synthetic samples(sizes, *model, shape);
  tasks::Answers answers;
  answers.donors = sizes.retain;
  answers.donor = [&](std::int64_t place) { return std::vector<std::int64_t>{3 + place % 200, 40, 41, 1}; };
  answers.refusals = {{50, 51, 1}};
  const auto task = model->task == "causal_lm" ? tasks::make_causal_lm(shape.vocabulary, answers)
                                               : tasks::make_classification(shape.classes);
  Bench bench{
      *model, model->config(name, shape), {}, sizes, request.value("batch", std::int64_t{128}), 0, *task,
      samples};
  bench.cost = model->cost(bench.config, shape.height, shape.width);
  const auto grain = request.value("grain", std::int64_t{0});
  bench.grain = grain > 0 ? grain : config::default_grain(bench.batch, model->has_batch_norm);
  comm::Communicator& world = runtime.world();

  // Fine-tuning before and after every method, so that a disturbed machine disturbs both.
  const auto per_flop = [&] {
    const MethodTime plain = run_once(bench, "finetune", world);
    runtime.tick();
    return plain.seconds / plain.flops;
  };
  per_flop();  // warms up
  double before = per_flop();
  const double item = bench.cost.forward + bench.cost.backward, items = static_cast<double>(sizes.forget);
  if (world.rank() == 0)
    fmt::print(
        "model {}  batch {}  grain {}  ranks {}  |D_f| {}  |D_r| {}  two epochs\n"
        "{:<14}{:>10}{:>10}{:>10}{:>10}{:>8}  (fine-tuning of D_f once = 1)\n",
        name, bench.batch, bench.grain, world.size(), sizes.forget, sizes.retain, "method", "time", "FLOPs",
        "by 2:4", "ratio", "kept");
  bool slow = false;
  for (const auto& method : chosen(request.value("method", "all"))) {
    if (const auto lack = lacking(*methods::find_descriptor(method), *model); !lack.empty()) {
      if (world.rank() == 0) fmt::print("{:<14}not here: needs {}\n", method, lack);
      continue;
    }
    const MethodTime m = run_once(bench, method, world);
    runtime.tick();
    const double after = per_flop(), unit = (before + after) / 2 * item * items;
    const double time = m.seconds / unit, flops = m.flops / (item * items), ratio = time / flops;
    const auto& l = m.ledger;
    const double nominal =
        (2 * (l.student_forward + l.teacher_forward) + 4 * l.student_backward) / (6 * items);
    slow |= ratio > kMostOverFlops;
    if (world.rank() == 0)
      fmt::print("{:<14}{:>10.2f}{:>10.2f}{:>10.2f}{:>10.2f}{:>7.0f}%{}\n", method, time, flops, nominal,
                 ratio, l.teacher_forward > 0 ? 100 * l.teacher_kept / l.teacher_forward : 0,
                 ratio > kMostOverFlops ? "  slow" : "");
    std::fflush(stdout);
    before = after;
  }
  return slow ? kExitNotAsAsked : kExitOk;
}

}  // namespace expunge
