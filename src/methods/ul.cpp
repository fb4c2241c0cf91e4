// Knowledge unlearning (UL, KnowUL): climb the negative log-likelihood of D_f, all of it in one step a pass,
//   L = - mean over F of loss(x, y),
// until the model knows D_f no better than what it never saw: stop before the pass at which the share of
// D_f's positions that the model gets right is below `stop_accuracy`. Source: Jang et al. 2023. In
// classification the share is the accuracy; 0 for the threshold means the original's accuracy on unseen
// samples where the job sets some aside (data.val_fraction), else 1/K. The reference also stops by overlaps
// of generated n-grams, which needs a model that generates.
#include <algorithm>

#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace ul {

const Descriptor descriptor = {
    .name = "ul",
    .summary = "ascend on all of D_f at once until it is known no better than unseen samples",
    .source = "Jang et al., ACL 2023 (Knowledge Unlearning)",
    .taxonomy = {.measure = "loss", .corrupt = "gradient", .retain = "none", .parameters = "dense, internal"},
    .deviations = {"classification: the stop rule is accuracy on D_f against unseen samples",
                   "BatchNorm is frozen by default, because D_f alone would write the running statistics"},
    .noop_on_empty = true,
    .stops_early = true,
    .plan = {}};

struct Options : MethodOptions {
  double stop_accuracy = 0;
  std::int64_t min_epochs = 1;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.name = "adam";
  defaults.optimizer.lr = 5e-5;
  defaults.optimizer.beta2 = 0.98;
  defaults.schedule = "constant";
  defaults.epochs = 20;
  defaults.bn = "frozen";
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.stop_accuracy =
      in.number("stop_accuracy", opt.stop_accuracy, config::between(0, 1),
                "accuracy on D_f below which it stops; 0 = the original's on unseen samples, else 1/classes");
  opt.min_epochs = in.integer("min_epochs", opt.min_epochs, config::ge(0), "passes before it may stop");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  if (sizes.forget == 0) return {};
  const auto passes = static_cast<double>(opt.train.epochs * sizes.forget);
  const std::int64_t checks = std::max<std::int64_t>(0, opt.train.epochs - opt.min_epochs);
  const auto looks = static_cast<double>(checks * sizes.forget);
  const bool by_unseen = opt.stop_accuracy == 0 && sizes.unseen > 0;
  return {{"forget", opt.train.epochs, passes, passes},
          {"stop rule", 0, looks + (by_unseen ? static_cast<double>(sizes.unseen) : 0.0)}};
}

#ifdef EXPUNGE_ENGINE
double accuracy(Context& ctx, const Stream& stream) {
  const torch::Tensor share = ctx.gather(
      stream, [&](const Batch& b) { return ctx.task().correct(ctx.student(b), b.labels); },
      [](const torch::Tensor& rows) { return rows.to(torch::kDouble).mean().reshape({1}); });
  return share.item<double>();
}

double threshold(const Options& opt, Context& ctx) {
  if (opt.stop_accuracy > 0) return opt.stop_accuracy;
  if (size_of(ctx.unseen()) > 0) return accuracy(ctx, ctx.unseen());
  return ctx.classes() > 0 ? 1.0 / static_cast<double>(ctx.classes()) : 0;
}

Outcome run(const Options& opt, Context& ctx) {
  const Stream forget = in_batches(ctx.forget(), size_of(ctx.forget()));
  if (size_of(forget) == 0) return Outcome::kFinished;
  const double enough = threshold(opt, ctx);
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch) {
    if (epoch >= opt.min_epochs && accuracy(ctx, forget) < enough) break;
    ctx.epoch(forget, [&](const Batch& b) -> Terms {
      return {{.name = "forget", .loss = ctx.task().loss(ctx.student(b), b.labels), .weight = -1}};
    });
  }
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace ul
}  // namespace expunge::methods
