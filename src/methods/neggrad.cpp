// Gradient ascent (NegGrad, GA): climb the task loss on D_f,
//   L = - mean over F of loss(x, y), from theta0.
// Source: Golatkar et al. 2020; Thudi et al. 2022; row 1 of MU-Bench's taxonomy. The loss is negated, not the
// optimiser, so weight decay still decays. Departure: BatchNorm is frozen by default, because statistics of
// D_f alone would be written into the running buffers (bn = "train" does as the references do). The loss is
// unbounded: keep lr * epochs small.
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace neggrad {

const Descriptor descriptor = {
    .name = "neggrad",
    .summary = "gradient ascent on the loss of D_f",
    .source = "Golatkar et al., CVPR 2020; Thudi et al., EuroS&P 2022",
    .taxonomy = {.measure = "loss", .corrupt = "gradient", .retain = "none", .parameters = "dense, internal"},
    .deviations = {"BatchNorm is frozen by default, because D_f alone would write the running statistics"},
    .noop_on_empty = true,
    .plan = {}};

using Options = MethodOptions;

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 1e-4;
  defaults.epochs = 5;
  defaults.bn = "frozen";
  return {config::read_train_options(in, defaults)};
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const auto passes = static_cast<double>(opt.train.epochs * sizes.forget);
  return {{"forget", opt.train.epochs * steps_of(sizes.forget, opt.train.batch), passes, passes}};
}

#ifdef EXPUNGE_ENGINE
Outcome run(const Options& opt, Context& ctx) {
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(ctx.forget(), [&](const Batch& b) -> Terms {
      return {{.name = "forget", .loss = ctx.task().loss(ctx.student(b), b.labels), .weight = -1}};
    });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace neggrad
}  // namespace expunge::methods
