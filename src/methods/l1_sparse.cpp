// L1-sparse unlearning: fine-tune on D_r with a penalty on the weights' magnitudes that fades out,
//   L = mean over R of loss(x, y) + alpha_e sum |theta|,  alpha_e = alpha (1 - e / (E - E0)) for e < E - E0,
//   else 0,
// E epochs, of which the last E0 are plain; with E = E0 the penalty stays at alpha (as the reference codes
// it). Source: Jia et al. 2023. The subgradient at 0 is 0; the penalty is added once a step, to all trainable
// parameters, biases and norms included, and is not part of the logged objective.
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace l1_sparse {

const Descriptor descriptor = {
    .name = "l1_sparse",
    .summary = "fine-tune on D_r with a fading L1 penalty",
    .source = "Jia et al., NeurIPS 2023 (Model Sparsity Can Simplify Machine Unlearning)",
    .taxonomy = {.measure = "loss",
                 .corrupt = "none",
                 .retain = "true labels",
                 .parameters = "sparse, internal"},
    .deviations = {"the penalty is left out of the logged objective"},
    .plan = {}};

struct Options : MethodOptions {
  double alpha = 5e-4;
  std::int64_t no_l1_epochs = 0;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.name = "sgd";
  defaults.optimizer.lr = 0.01;
  defaults.optimizer.momentum = 0.9;
  defaults.optimizer.weight_decay = 5e-4;
  defaults.epochs = 10;
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.alpha = in.number("alpha", opt.alpha, config::ge(0), "weight of the penalty in the first epoch");
  opt.no_l1_epochs =
      in.integer("no_l1_epochs", opt.no_l1_epochs, config::ge(0), "last epochs, without the penalty");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const auto passes = static_cast<double>(opt.train.epochs * sizes.retain);
  return {{"retain", opt.train.epochs * steps_of(sizes.retain, opt.train.batch), passes, passes}};
}

#ifdef EXPUNGE_ENGINE
double weight_of(const Options& opt, std::int64_t epoch) {
  const std::int64_t fading = opt.train.epochs - opt.no_l1_epochs;
  if (fading == 0) return opt.alpha;
  if (epoch >= fading) return 0;
  return opt.alpha * (1 - static_cast<double>(epoch) / static_cast<double>(fading));
}

Outcome run(const Options& opt, Context& ctx) {
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch) {
    EpochOptions sparse;
    sparse.penalty = [alpha = weight_of(opt, epoch)](const torch::Tensor& values, torch::Tensor& gradient) {
      gradient.add_(values.sign(), alpha);
    };
    ctx.epoch(
        ctx.retain(),
        [&](const Batch& b) -> Terms {
          return {{.name = "retain", .loss = ctx.task().loss(ctx.student(b), b.labels)}};
        },
        sparse);
  }
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace l1_sparse
}  // namespace expunge::methods
