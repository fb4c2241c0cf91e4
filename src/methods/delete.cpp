// DELETE: distil on D_f from the original with the true class taken out of its answer,
//   L = mean over F of T^2 KL(q || softmax(z / T)),  q = softmax of the original's logits over the other
//   classes.
// Source: Zhou et al. 2025 ("Decoupled Distillation to Erase"). Only D_f is read; at the optimum the true
// class has probability 0 and the others keep their ratios. q comes from theta0, never from the student.
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include <limits>

#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace delete_method {

const Descriptor descriptor = {.name = "delete",
                               .summary = "distil on D_f from the original without its true class",
                               .source = "Zhou et al., CVPR 2025 (Decoupled Distillation to Erase)",
                               .copies = 1,
                               .taxonomy = {.measure = "logit",
                                            .corrupt = "model",
                                            .retain = "other answers of the original",
                                            .parameters = "dense, internal"},
                               .needs = {Need::kTargets},
                               .deviations = {"BatchNorm is frozen by default (the reference's disable_bn)"},
                               .noop_on_empty = true,
                               .plan = {}};

struct Options : MethodOptions {
  double temperature = 1;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.name = "sgd";
  defaults.optimizer.lr = 1e-4;
  defaults.optimizer.momentum = 0.9;
  defaults.epochs = 20;
  defaults.bn = "frozen";
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.temperature =
      in.number("temperature", opt.temperature, config::gt(0), "softening of both distributions");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const auto passes = static_cast<double>(opt.train.epochs * sizes.forget);
  return {{"forget", opt.train.epochs * steps_of(sizes.forget, opt.train.batch), passes, passes, passes}};
}

#ifdef EXPUNGE_ENGINE
Outcome run(const Options& opt, Context& ctx) {
  const Teacher original = ctx.freeze();
  constexpr double kAll = std::numeric_limits<double>::infinity();
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(ctx.forget(), [&](const Batch& b) -> Terms {
      const models::Tensors others = ctx.task().without_target(original(b), b.labels, kAll);
      return {{.name = "erase", .loss = ctx.task().divergence(others, ctx.student(b), opt.temperature)}};
    });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace delete_method
}  // namespace expunge::methods
