// SalUn: random labels, restricted to the weights that matter most for D_f.
//   1. At theta0, eval mode, true labels: G = sum over D_f of the gradient; m = 1 for the floor(rho P)
//   weights of largest |G| over all
//      trainable tensors together, ties by flat index.
//   2. L = mean over mix(F', R) of loss(x, y~), as in rand_label.
//   3. After each step theta = theta0 where m = 0.
// Source: Fan et al. 2024; row 5 of MU-Bench's taxonomy. Signed gradients are summed first, the magnitude is
// taken last. Gradients of unselected weights are dropped before clipping, so their moments stay 0; the
// restore of step 3 is needed all the same, because weight decay would still move them. BatchNorm's running
// statistics are not weights and follow the mode `bn`. Without D_f no weight is salient and nothing is done.
#include "methods/counting.hpp"
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#include "tensor/selection.hpp"
#endif

namespace expunge::methods {
namespace salun {

const Descriptor descriptor = {
    .name = "salun",
    .summary = "random labels on the weights most salient for D_f",
    .source = "Fan et al., ICLR 2024",
    .copies = 3,
    .taxonomy = {.measure = "loss",
                 .corrupt = "data",
                 .retain = "true labels",
                 .parameters = "sparse, internal"},
    .deviations = {"unselected weights are restored after each step; gradients are masked before clipping"},
    .noop_on_empty = true,
    .plan = {}};

struct Options : MethodOptions {
  double rho = 0.5;
  std::string label_mode = "uniform_other";
  bool redraw = false;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 1e-3;
  defaults.optimizer.weight_decay = 1e-4;
  defaults.epochs = 3;
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.rho = in.number("rho", opt.rho, config::between(0, 1), "share of the weights that may change");
  opt.label_mode = in.choice("label_mode", opt.label_mode, {"uniform_other", "plus_one", "uniform_all"},
                             "wrong label of a sample of D_f: another class, the next class, or any class");
  opt.redraw = in.flag("redraw", opt.redraw, "draw the wrong labels anew in each pass");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  if (sizes.forget == 0) return {};
  const std::int64_t samples = sizes.forget + sizes.retain;
  const auto mask = static_cast<double>(sizes.forget),
             passes = static_cast<double>(opt.train.epochs * samples);
  return {{"mask", 0, mask, mask},
          {"mix", opt.train.epochs * steps_of(samples, opt.train.batch), passes, passes}};
}

#ifdef EXPUNGE_ENGINE
Outcome run(const Options& opt, Context& ctx) {
  if (ctx.forget().sources[0].ids->empty()) return Outcome::kFinished;
  const torch::Tensor gradient = ctx.accumulate(ctx.forget(), [&](const Batch& b) -> Terms {
    return {{.name = "saliency", .loss = ctx.task().loss(ctx.student(b), b.labels)}};
  });
  const torch::Tensor mask = ctx.once("mask", [&] {
    return tensor::largest(ctx.layout(), gradient, share_of(opt.rho, ctx.layout().numel()));
  });
  const torch::Tensor fixed = mask == 0;
  // Where the mask is 0 this is theta0 even when the run was resumed later: those values never change.
  const torch::Tensor start = ctx.values().clone();

  EpochOptions masked;
  masked.penalty = [&](const torch::Tensor&, torch::Tensor& g) { g.masked_fill_(fixed, 0); };
  masked.after_step = [&](torch::Tensor& values) { values.copy_(torch::where(fixed, start, values)); };
  const Stream mixed = ctx.mix(ctx.forget(), ctx.retain());
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(
        mixed,
        [&](const Batch& b) -> Terms {
          const Batch wrong = ctx.corrupted(b, opt.label_mode, opt.redraw);
          return {{.name = "mix", .loss = ctx.task().loss(ctx.student(wrong), wrong.labels)}};
        },
        masked);
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace salun
}  // namespace expunge::methods
