// Descent-to-Delete: a few full-batch gradient steps on D_r from the current weights, then publish them with
// Gaussian noise,
//   I times: theta <- Proj(theta - eta grad[mean over R of loss + (m/2) ||theta||^2]),  then theta + N(0,
//   sigma^2).
// Source: Neel et al. 2021. sigma is the formula of their guarantee (methods/noise_scale.hpp), whose
// constants mean nothing for a deep network: the default for such a network is enormous, and `sigma` replaces
// it. Departures: always at least the steps asked for (some code takes none); BatchNorm is frozen and its
// statistics get no noise.
#include <algorithm>

#include "methods/method.hpp"
#include "methods/noise_scale.hpp"
#ifdef EXPUNGE_ENGINE
#include <fmt/format.h>

#include "engine/context.hpp"
#include "tensor/optimizer.hpp"
#endif

namespace expunge::methods {
namespace dtd {

const Descriptor descriptor = {
    .name = "dtd",
    .summary = "gradient steps on D_r, then calibrated noise on all weights",
    .source = "Neel et al., ALT 2021 (Descent-to-Delete)",
    .copies = 1,
    .taxonomy = {.measure = "loss",
                 .corrupt = "none",
                 .retain = "true labels",
                 .parameters = "dense, internal"},
    .deviations = {"sigma may be set by hand: the formula's constants hold for convex losses only",
                   "the un-noised weights are not kept for a next deletion"},
    .noop_on_zero_lr = false,
    .plan = {}};

struct Options : MethodOptions {
  double convexity = 0.05, smoothness = 0, lipschitz = 0, epsilon = 5, delta = 0, sigma = -1, radius = 0;
};

Options read(config::Reader& in) {
  Options opt;
  opt.convexity =
      in.number("convexity", opt.convexity, config::gt(0), "m: weight of the squared norm, strong convexity");
  opt.smoothness = in.number("smoothness", 4 - std::min(opt.convexity, 3.0), config::gt(0), "M of the loss");
  opt.lipschitz = in.number("lipschitz", 1 + opt.convexity, config::gt(0), "L of the loss");
  config::TrainOptions defaults;
  defaults.optimizer.name = "sgd";
  defaults.optimizer.lr = 2 / (opt.smoothness + opt.convexity);
  defaults.schedule = "constant";
  defaults.clip = 0;
  defaults.epochs = 25;
  defaults.bn = "frozen";
  opt.train = config::read_train_options(in, defaults);
  opt.epsilon = in.number("epsilon", opt.epsilon, config::gt(0), "epsilon of the guarantee");
  opt.delta = in.number("delta", opt.delta, config::between(0, 1), "delta of the guarantee; 0 = 1/n^2");
  opt.sigma = in.number("sigma", opt.sigma, config::any(),
                        "standard deviation of the noise; negative = the guarantee's formula");
  opt.radius = in.number("radius", opt.radius, config::ge(0),
                         "norm that the parameters are projected into after each step; 0 = off");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const std::int64_t steps = sizes.retain > 0 ? opt.train.epochs : 0;
  const auto passes = static_cast<double>(steps * sizes.retain);
  return {{"descend", steps, passes, passes}};
}

#ifdef EXPUNGE_ENGINE
double deviation(const Options& opt, std::int64_t samples) {
  if (opt.sigma >= 0) return opt.sigma;
  if (samples == 0) return 0;
  const auto n = static_cast<double>(samples);
  const auto steps = static_cast<double>(std::max<std::int64_t>(1, opt.train.epochs));
  return noise_deviation(DescentToDelete{n, steps, opt.lipschitz, opt.smoothness, opt.convexity, opt.epsilon,
                                         opt.delta > 0 ? opt.delta : 1 / (n * n)});
}

Outcome run(const Options& opt, Context& ctx) {
  const Stream all = in_batches(ctx.retain(), size_of(ctx.retain()));
  EpochOptions convex;
  convex.penalty = [&](const torch::Tensor& values, torch::Tensor& g) { g.add_(values, opt.convexity); };
  if (opt.radius > 0)
    convex.after_step = [&](torch::Tensor& values) {
      const double norm = tensor::gradient_norm(values);
      if (norm > opt.radius) values.mul_(opt.radius / norm);
    };
  for (std::int64_t step = 0; step < opt.train.epochs; ++step)
    ctx.epoch(
        all,
        [&](const Batch& b) -> Terms {
          return {{.name = "retain", .loss = ctx.task().loss(ctx.student(b), b.labels)}};
        },
        convex);
  const double sigma = deviation(opt, size_of(all));
  ctx.log(fmt::format("dtd: noise of standard deviation {:.4g}", sigma));
  ctx.update("noise", [&](torch::Tensor& values) { values.add_(ctx.noise("dtd"), sigma); });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace dtd
}  // namespace expunge::methods
