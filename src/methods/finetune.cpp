// Fine-tuning: go on training the original on D_r, with a larger learning rate than it ended with, and let it
// forget D_f,
//   L = mean over R of loss(x, y), from theta0.
// Source: the plain baseline of Golatkar et al. 2020 ("Eternal Sunshine of the Spotless Net") and of most
// papers since. The schedule starts anew: resumed at the original's end it would have a rate near 0. No pull
// towards theta0, which some variants add.
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace finetune {

const Descriptor descriptor = {.name = "finetune",
                               .summary = "go on training on D_r only",
                               .source = "Golatkar et al., CVPR 2020 (baseline)",
                               .taxonomy = {.measure = "loss",
                                            .corrupt = "none",
                                            .retain = "true labels",
                                            .parameters = "dense, internal"},
                               .deviations = {"the schedule starts anew; no pull towards the original"},
                               .plan = {}};

using Options = MethodOptions;

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 1e-3;
  defaults.epochs = 1;
  return {config::read_train_options(in, defaults)};
}

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

}  // namespace finetune
}  // namespace expunge::methods
