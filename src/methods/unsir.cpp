// UNSIR: learn noise on which the model errs for the classes to forget, train on it (impair), then on a
// little of D_r (repair).
//   1. Noise items n_j labelled with D_f's classes in turn: minimise -loss(f(n), c) + 0.1 ||n||^2 by Adam,
//   the model frozen, in eval mode.
//   2. Impair: passes over mix(noise, Rsub) with the task loss.   3. Repair: passes over Rsub.
// Source: Tarun et al. 2023. For whole classes. Departures: every noise item is optimised and is different
// (the reference's inner loop runs over the channels of one item and repeats it); Rsub is drawn from all of
// D_r, not class by class; BatchNorm never sees noise in step 1.
#include <algorithm>

#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include <set>

#include "core/error.hpp"
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace unsir {

const Descriptor descriptor = {
    .name = "unsir",
    .summary = "train on error-maximising noise for the forgotten classes, then repair",
    .source = "Tarun et al., TNNLS 2023 (Fast Yet Effective Machine Unlearning)",
    .taxonomy = {.measure = "loss",
                 .corrupt = "data",
                 .retain = "true labels",
                 .parameters = "dense, internal"},
    .needs = {Need::kLabels, Need::kImages, Need::kWholeClasses},
    .deviations = {"every noise item is optimised; the reference repeats three",
                   "the retained subset is drawn from all of D_r, not class by class"},
    .noop_on_empty = true,
    .plan = {}};

struct Options : MethodOptions {
  std::int64_t noise_steps = 40, noise_items = 5120, retain_per_class = 1000;
  double noise_lr = 0.1, noise_norm = 0.1, repair_lr = 0.01;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.name = "adam";
  defaults.optimizer.lr = 0.02;
  defaults.schedule = "constant";
  defaults.epochs = 1;
  defaults.batch = 256;
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.noise_steps = in.integer("noise_steps", opt.noise_steps, config::ge(1), "steps on the noise");
  opt.noise_items =
      in.integer("noise_items", opt.noise_items, config::ge(1), "noise inputs, over all forgotten classes");
  opt.noise_lr = in.number("noise_lr", opt.noise_lr, config::gt(0), "learning rate of the noise (Adam)");
  opt.noise_norm =
      in.number("noise_norm", opt.noise_norm, config::ge(0), "weight of the squared norm of a noise input");
  opt.retain_per_class = in.integer("retain_per_class", opt.retain_per_class, config::ge(0),
                                    "samples of D_r for impair and repair, times the number of classes");
  opt.repair_lr = in.number("repair_lr", opt.repair_lr, config::ge(0), "learning rate of the repair passes");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  if (sizes.forget == 0) return {};
  const std::int64_t retained = std::min(sizes.retain, opt.retain_per_class * sizes.classes),
                     mixed = retained + opt.noise_items, epochs = opt.train.epochs;
  const auto noise = static_cast<double>(opt.noise_steps * opt.noise_items),
             impair = static_cast<double>(epochs * mixed), repair = static_cast<double>(epochs * retained);
  return {{"noise", opt.noise_steps, noise, noise, 0, false},
          {"impair", epochs * steps_of(mixed, opt.train.batch), impair, impair},
          {"repair", epochs * steps_of(retained, opt.train.batch), repair, repair}};
}

#ifdef EXPUNGE_ENGINE
// The noise as a network without input: row j is item j.
class Noise : public models::Model {
 public:
  Noise(std::string input, std::int64_t items, const torch::Tensor& like)
      : models::Model(nlohmann::json::object()), input_(std::move(input)) {
    auto shape = like.sizes().vec();
    shape[0] = items;
    items_ = register_parameter("noise", torch::zeros(shape));
  }
  models::Tensors forward(const models::Tensors& in) override {
    return {{input_, items_.index_select(0, in.at("index"))}};
  }
  void initialize(const Rng& rng) override {
    const torch::NoGradGuard no_grad;
    torch::Tensor host = torch::zeros_like(items_, torch::kCPU);
    for (std::int64_t i = 0; i < host.numel(); ++i)
      host.data_ptr<float>()[i] = static_cast<float>(rng.normal(static_cast<std::uint64_t>(i)));
    items_.copy_(host);
  }

 private:
  std::string input_;
  torch::Tensor items_;
};

// Items 0..noise-1, then the samples of D_r with these ids.
class NoiseAndSamples : public SampleSource {
 public:
  NoiseAndSamples(Companion noise, std::int64_t items, std::vector<std::int64_t> classes,
                  std::vector<std::int64_t> retained, const SampleSource& samples, torch::Device device)
      : noise_(std::move(noise)),
        items_(items),
        classes_(std::move(classes)),
        retained_(std::move(retained)),
        samples_(samples),
        device_(device) {}

  void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const override {
    std::vector<std::int64_t> index, label, sample, noise_at, sample_at;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const bool is_noise = ids[i] < items_;
      (is_noise ? noise_at : sample_at).push_back(static_cast<std::int64_t>(i));
      if (!is_noise) {
        sample.push_back(retained_[static_cast<std::size_t>(ids[i] - items_)]);
        continue;
      }
      index.push_back(ids[i]);
      label.push_back(classes_[static_cast<std::size_t>(ids[i]) % classes_.size()]);
    }
    const torch::NoGradGuard no_grad;
    Batch noise, real;
    if (!index.empty()) {
      noise.inputs = noise_(models::Tensors{{"index", torch::tensor(index).to(device_)}});
      noise.labels = torch::tensor(label).to(device_);
    }
    if (!sample.empty()) samples_.load(sample, pass, real);
    if (index.empty() || sample.empty()) {
      into.inputs = index.empty() ? real.inputs : noise.inputs;
      into.labels = index.empty() ? real.labels : noise.labels;
      return;
    }
    noise_at.insert(noise_at.end(), sample_at.begin(), sample_at.end());
    const torch::Tensor back = torch::tensor(noise_at).argsort().to(device_);
    for (auto& [name, value] : noise.inputs)
      into.inputs[name] = torch::cat({value, real.inputs.at(name)}).index_select(0, back);
    into.labels = torch::cat({noise.labels, real.labels}).index_select(0, back);
  }

 private:
  Companion noise_;
  std::int64_t items_;
  std::vector<std::int64_t> classes_, retained_;
  const SampleSource& samples_;
  torch::Device device_;
};

// Only the numbers of items, for the steps on the noise itself.
class Numbers : public SampleSource {
 public:
  Numbers(std::vector<std::int64_t> classes, torch::Device device)
      : classes_(std::move(classes)), device_(device) {}
  void load(const std::vector<std::int64_t>& ids, std::int64_t, Batch& into) const override {
    std::vector<std::int64_t> label;
    for (auto id : ids) label.push_back(classes_[static_cast<std::size_t>(id) % classes_.size()]);
    into.inputs["index"] = torch::tensor(ids, torch::kLong).to(device_);
    into.labels = torch::tensor(label, torch::kLong).to(device_);
  }

 private:
  std::vector<std::int64_t> classes_;
  torch::Device device_;
};

std::vector<std::int64_t> forgotten_classes(Context& ctx) {
  const torch::Tensor labels =
      ctx.gather(ctx.forget(), [](const Batch& b) { return b.labels; }).to(torch::kCPU).flatten();
  std::set<std::int64_t> classes;
  for (std::int64_t i = 0; i < labels.numel(); ++i)
    classes.insert(static_cast<std::int64_t>(labels.data_ptr<float>()[i]));
  return {classes.begin(), classes.end()};
}

Companion make_noise(const Options& opt, Context& ctx) {
  Batch probe;
  ctx.samples().load({ctx.forget().sources[0].ids->front()}, -1, probe);
  const auto pixels = std::find_if(probe.inputs.begin(), probe.inputs.end(),
                                   [](const auto& input) { return input.second.is_floating_point(); });
  EXPUNGE_CHECK(pixels != probe.inputs.end(), "no input to put noise in");
  config::OptimizerOptions adam;
  adam.name = "adam";
  adam.lr = opt.noise_lr;
  const auto& [name, input] = *pixels;
  return ctx.companion("noise", std::make_shared<Noise>(name, opt.noise_items, input), adam, false);
}

// Step 1. All items in each step, so that Adam moves none without a gradient.
void learn_noise(const Options& opt, Context& ctx, Companion& noise,
                 const std::vector<std::int64_t>& classes) {
  const Stream items = in_batches(
      ctx.of_samples("noise", opt.noise_items, std::make_shared<Numbers>(classes, ctx.values().device())),
      opt.noise_items);
  EpochOptions frozen;
  frozen.student = false;
  frozen.eval = true;
  frozen.companions = {noise};
  for (std::int64_t step = 0; step < opt.noise_steps; ++step)
    ctx.epoch(
        items,
        [&](const Batch& b) -> Terms {
          Batch seen = b;
          seen.inputs = noise(b);
          return {{.name = "err", .loss = ctx.task().loss(ctx.student(seen), b.labels), .weight = -1},
                  {.name = "norm",
                   .loss = seen.inputs.begin()->second.square().flatten(1).sum(1),
                   .weight = opt.noise_norm}};
        },
        frozen);
}

Outcome run(const Options& opt, Context& ctx) {
  if (size_of(ctx.forget()) == 0) return Outcome::kFinished;
  const auto classes = forgotten_classes(ctx);
  Companion noise = make_noise(opt, ctx);
  learn_noise(opt, ctx, noise, classes);

  const Stream retained = ctx.subset(ctx.retain(), opt.retain_per_class * ctx.classes(), "rsub");
  const auto& ids = *retained.sources[0].ids;
  const Stream mixed =
      ctx.of_samples("impair", opt.noise_items + size_of(retained),
                     std::make_shared<NoiseAndSamples>(noise, opt.noise_items, classes, ids, ctx.samples(),
                                                       ctx.values().device()));
  const LossFunction learn = [&](const Batch& b) -> Terms {
    return {{.name = "learn", .loss = ctx.task().loss(ctx.student(b), b.labels)}};
  };
  EpochOptions repair;
  repair.lr_scale = opt.train.optimizer.lr > 0 ? opt.repair_lr / opt.train.optimizer.lr : 0;
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch) ctx.epoch(mixed, learn);
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch) ctx.epoch(retained, learn, repair);
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace unsir
}  // namespace expunge::methods
