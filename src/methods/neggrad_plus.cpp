// NegGrad+: descend on D_r and climb on D_f in the same step,
//   L = alpha * mean over R of loss - (1 - alpha) * mean over F of loss.
// Source: Kurmanji et al. 2023 (SCRUB), baseline. An epoch is one pass over D_r; D_f cycles beside it, with
// the same batch size. Each mean has its own count, so a short last batch of one stream does not reweight the
// other.
#include "methods/counting.hpp"
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace neggrad_plus {

const Descriptor descriptor = {
    .name = "neggrad_plus",
    .summary = "descend on D_r while ascending on D_f",
    .source = "Kurmanji et al., NeurIPS 2023 (baseline)",
    .taxonomy = {.measure = "loss",
                 .corrupt = "gradient",
                 .retain = "true labels",
                 .parameters = "dense, internal"},
    .deviations = {"each mean has its own count, so short batches do not change the weights of the two sets"},
    .plan = {}};

struct Options : MethodOptions {
  double alpha = 0.95;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.name = "sgd";
  defaults.optimizer.lr = 0.01;
  defaults.optimizer.momentum = 0.9;
  defaults.epochs = 10;
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.alpha =
      in.number("alpha", opt.alpha, config::between(0, 1), "weight of the loss on D_r; D_f has 1 - alpha");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const std::int64_t steps = steps_of(sizes.retain, opt.train.batch);
  const std::int64_t samples = sizes.retain + cycled_samples(steps, sizes.forget, opt.train.batch);
  const auto passes = static_cast<double>(opt.train.epochs * samples);
  return {{"retain and forget", opt.train.epochs * steps, passes, passes}};
}

#ifdef EXPUNGE_ENGINE
Outcome run(const Options& opt, Context& ctx) {
  constexpr std::size_t kRetain = 0;
  const Stream both = zip(ctx.retain(), ctx.forget());
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(both, [&](const Batch& b) -> Terms {
      const torch::Tensor loss = ctx.task().loss(ctx.student(b), b.labels);
      if (b.source == kRetain) return {{.name = "retain", .loss = loss, .weight = opt.alpha}};
      return {{.name = "forget", .loss = loss, .weight = -(1 - opt.alpha)}};
    });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace neggrad_plus
}  // namespace expunge::methods
