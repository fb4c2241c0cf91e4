// UNDIAL: distil on D_f from the original with a constant taken off the true answer's logit,
//   L = mean over F of KL(softmax(z0 - strength * e_y) || softmax(z)).
// Source: Dong et al. 2024; the soft form of DELETE. The reference minimises the cross-entropy to the same
// target, which differs by the target's entropy, a constant: the gradient is the same.
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace undial {

const Descriptor descriptor = {
    .name = "undial",
    .summary = "distil on D_f from the original with its true answer turned down",
    .source = "Dong et al., NAACL 2025 (UNDIAL)",
    .copies = 1,
    .taxonomy = {.measure = "logit",
                 .corrupt = "model",
                 .retain = "other answers of the original",
                 .parameters = "dense, internal"},
    .needs = {Need::kTargets},
    .deviations = {"the logged loss is the divergence: the reference's cross-entropy less a constant",
                   "BatchNorm is frozen by default, because D_f alone would write the running statistics"},
    .noop_on_empty = true,
    .plan = {}};

struct Options : MethodOptions {
  double strength = 10;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 1e-4;
  defaults.epochs = 10;
  defaults.bn = "frozen";
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.strength = in.number("strength", opt.strength, config::ge(0), "taken off the true answer's logit");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const auto passes = static_cast<double>(opt.train.epochs * sizes.forget);
  return {{"forget", opt.train.epochs * steps_of(sizes.forget, opt.train.batch), passes, passes, passes}};
}

#ifdef EXPUNGE_ENGINE
Outcome run(const Options& opt, Context& ctx) {
  const Teacher original = ctx.freeze();
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(ctx.forget(), [&](const Batch& b) -> Terms {
      const models::Tensors target = ctx.task().without_target(original(b), b.labels, opt.strength);
      return {{.name = "suppress", .loss = ctx.task().divergence(target, ctx.student(b))}};
    });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace undial
}  // namespace expunge::methods
