// Efficient unlearning for language models (EUL): freeze the network, insert small adapters after its blocks,
// and train only them,
//   L = alpha mean over R of KL(f0 || f) - mean over F of KL(f0 || f) + lambda mean over R of loss
//       - gamma mean over F of loss.
// Source: Chen and Yang 2023; weights from memory of the paper, whose repository contains no unlearning code.
// Each step has one batch of D_r and one of D_f; an epoch is one pass over D_r. Adapters start as the
// identity, where the divergences have no gradient: the task losses move them first. In classification the
// language-model loss is the task loss. One deletion has one set of adapters.
#include "methods/counting.hpp"
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "core/error.hpp"
#include "engine/context.hpp"
#include "methods/runner_registry.hpp"
#endif

namespace expunge::methods {
namespace {

const Descriptor descriptor = {
    .name = "eul",
    .summary = "train adapters that leave the original on D_f and stay with it on D_r",
    .source = "Chen and Yang, EMNLP 2023 (Unlearn What You Want to Forget)",
    .taxonomy = {.measure = "loss and output",
                 .corrupt = "gradient",
                 .retain = "original and true labels",
                 .parameters = "dense, external"},
    .needs = {Need::kHead},
    .deviations = {"loss weights are from memory of the paper: its repository has no unlearning code",
                   "convolutional networks have an adapter after each stage or block, on channels",
                   "adapters of several deletions are not fused"},
    .refuses = {{"fusion", "it trains adapters of its own"}, {"lora", "it trains adapters of its own"}},
    .plan = {}};

struct Options : MethodOptions {
  double alpha = 0.8, lambda = 1, gamma = 0.2;
  std::int64_t width = 16;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 5e-5;
  defaults.epochs = 1;
  defaults.batch = 8;
  defaults.bn = "frozen";
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.alpha = in.number("alpha", opt.alpha, config::ge(0), "weight of the divergence on D_r");
  opt.lambda = in.number("lambda", opt.lambda, config::ge(0), "weight of the task loss on D_r");
  opt.gamma = in.number("gamma", opt.gamma, config::ge(0), "weight of the ascended loss on D_f");
  opt.width = in.integer("width", opt.width, config::ge(1), "inner width of the adapters");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const std::int64_t steps = steps_of(sizes.retain, opt.train.batch);
  const std::int64_t samples = sizes.retain + cycled_samples(steps, sizes.forget, opt.train.batch);
  const auto passes = static_cast<double>(opt.train.epochs * samples);
  return {{"retain and forget", opt.train.epochs * steps, passes, passes, passes}};
}

#ifdef EXPUNGE_ENGINE
constexpr const char* kPrefix = "unlearning_layer";

const RegisterPreparation adapters{
    "eul", [](config::Reader& in, models::Model& model, std::uint64_t seed) -> Trainable {
      EXPUNGE_CHECK(!model.adapter_sites().empty(), "the model has no place for adapters");
      model.insert_adapters(kPrefix, read(in).width, Rng(seed, "adapter"));
      return [](const std::string& name) { return name.rfind(kPrefix, 0) == 0; };
    }};

Outcome run(const Options& opt, Context& ctx) {
  const Teacher original = ctx.freeze();
  constexpr std::size_t kRetain = 0;
  const Stream both = zip(ctx.retain(), ctx.forget());
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(both, [&](const Batch& b) -> Terms {
      const models::Tensors student = ctx.student(b);
      const torch::Tensor divergence = ctx.task().divergence(original(b), student),
                          loss = ctx.task().loss(student, b.labels);
      if (b.source == kRetain)
        return {{.name = "stay", .loss = divergence, .weight = opt.alpha},
                {.name = "retain", .loss = loss, .weight = opt.lambda}};
      return {{.name = "away", .loss = divergence, .weight = -1},
              {.name = "forget", .loss = loss, .weight = -opt.gamma}};
    });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace
}  // namespace expunge::methods
