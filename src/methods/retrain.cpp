// Retraining from scratch on what remains: a fresh initialisation, trained on D_r with the recipe of the
// original,
//   L = mean over R of loss(x, y).
// The yardstick of exact unlearning; D_f is never read, so changing it cannot change a bit of the result.
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace retrain {

const Descriptor descriptor = {
    .name = "retrain",
    .summary = "train a fresh network on D_r with the original's recipe",
    .source = "the exact baseline",
    .taxonomy = {.measure = "loss",
                 .corrupt = "none",
                 .retain = "true labels",
                 .parameters = "dense, internal"},
    .noop_on_zero_lr = false,  // what it leaves unchanged is the new initialisation, not the original
    .from_scratch = true,
    .plan = {}};

using Options = MethodOptions;

Options read(config::Reader& in) { return {config::read_train_options(in, {})}; }

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const auto passes = static_cast<double>(opt.train.epochs * sizes.retain);
  return {{"retain", opt.train.epochs * steps_of(sizes.retain, opt.train.batch), passes, passes}};
}

#ifdef EXPUNGE_ENGINE
Outcome run(const Options& opt, Context& ctx) {
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(ctx.retain(), [&](const Batch& b) -> Terms {
      return {{.name = "retain", .loss = ctx.task().loss(ctx.student(b), b.labels)}};
    });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace retrain
}  // namespace expunge::methods
