// Knowledge gap alignment: make the student as far from a model of D_f as the original is from a model of
// data it never saw,
//   L = | mean over F of KL(A_f || A) - gap | + alpha * mean over R of KL(A_0 || A),
//   gap = mean over N of KL(A_n || A_0),
// A_0 the original, A_f and A_n fresh networks trained on D_f and on unseen samples N (as many as D_f).
// Source: Wang et al. 2023. The gap is computed once over all of N; both gaps are teacher-first, as in the
// reference's translation code (its classification code reverses one). The absolute value is of the mean over
// the whole step, on however many ranks. An epoch is one pass over a share of D_r, `inner_step` batches a
// step, with a batch of D_f beside; it ends early when the first term has fallen to `stop_portion` of its
// first value.
#include <algorithm>
#include <cmath>

#include "methods/counting.hpp"
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace kga {

const Descriptor descriptor = {
    .name = "kga",
    .summary = "match the knowledge gap on D_f to the gap on unseen data",
    .source = "Wang et al., ACL 2023 (KGA)",
    .copies = 9,
    .taxonomy = {.measure = "output",
                 .corrupt = "data",
                 .retain = "original",
                 .parameters = "dense, internal"},
    .needs = {Need::kUnseen},
    .deviations = {"the gap on unseen data is computed once over all of it, not batch by batch",
                   "both gaps are teacher-first and averaged over samples, not over classes too",
                   "the helper models start from a fresh initialisation"},
    .noop_on_empty = true,
    .stops_early = true,
    .plan = {}};

struct Options : MethodOptions {
  double alpha = 0.1, retain_fraction = 0.3, stop_portion = 0.1, helper_lr = 1e-3;
  std::int64_t inner_step = 10, helper_epochs = 10;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 2e-5;
  defaults.optimizer.weight_decay = 0.01;
  defaults.epochs = 1;
  defaults.batch = 32;
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.alpha = in.number("alpha", opt.alpha, config::ge(0), "weight of the divergence on D_r");
  opt.retain_fraction = in.number("retain_fraction", opt.retain_fraction, config::between(0, 1),
                                  "share of D_r that is used, drawn once");
  opt.stop_portion =
      in.number("stop_portion", opt.stop_portion, config::between(0, 1),
                "ends when the alignment has fallen to this share of its first value; 0 = never");
  opt.inner_step = in.integer("inner_step", opt.inner_step, config::ge(1), "batches of D_r a step");
  opt.helper_epochs =
      in.integer("helper_epochs", opt.helper_epochs, config::ge(0), "passes that train each helper model");
  opt.helper_lr =
      in.number("helper_lr", opt.helper_lr, config::ge(0), "learning rate of the helpers (AdamW)");
  return opt;
}

// Samples of N, and steps of an epoch.
std::int64_t unseen_of(const Sizes& sizes) { return std::min(sizes.unseen, sizes.forget); }

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  if (sizes.forget == 0) return {};
  const std::int64_t unseen = unseen_of(sizes), retained = share_of(opt.retain_fraction, sizes.retain),
                     steps = steps_of(retained, opt.train.batch * opt.inner_step),
                     beside = cycled_samples(steps, sizes.forget, opt.train.batch), epochs = opt.train.epochs;
  const auto helpers = static_cast<double>(opt.helper_epochs * (sizes.forget + unseen)),
             passes = static_cast<double>(epochs * (retained + beside));
  return {
      {"helpers",
       opt.helper_epochs * (steps_of(sizes.forget, opt.train.batch) + steps_of(unseen, opt.train.batch)),
       helpers, helpers, 0, false},
      {"gaps", 0, static_cast<double>(sizes.forget + unseen), 0, static_cast<double>(sizes.forget + unseen)},
      {"align", epochs * steps, static_cast<double>(epochs) * (static_cast<double>(retained + 2 * beside)),
       passes, static_cast<double>(epochs * retained)}};
}

#ifdef EXPUNGE_ENGINE
Companion trained_helper(const Options& opt, Context& ctx, const std::string& name, const Stream& on) {
  config::OptimizerOptions adamw;
  adamw.lr = opt.helper_lr;
  Companion helper = ctx.companion(name, ctx.new_model(), adamw, true);
  EpochOptions alone;
  alone.student = false;
  alone.companions = {helper};
  for (std::int64_t epoch = 0; epoch < opt.helper_epochs; ++epoch)
    ctx.epoch(
        on,
        [&](const Batch& b) -> Terms {
          return {{.name = "helper", .loss = ctx.task().loss(helper(b), b.labels)}};
        },
        alone);
  return helper;
}

// A helper as a teacher: no gradient.
models::Tensors answer(const Companion& helper, const Batch& b) {
  const torch::NoGradGuard no_grad;
  return helper(b);
}

double mean_of(const torch::Tensor& rows) {
  return rows.numel() > 0 ? rows.to(torch::kDouble).mean().item<double>() : 0;
}

Outcome run(const Options& opt, Context& ctx) {
  if (size_of(ctx.forget()) == 0) return Outcome::kFinished;
  const Teacher original = ctx.freeze();
  const Stream unseen = ctx.subset(ctx.unseen(), size_of(ctx.forget()), "kga.unseen");
  const Companion of_forget = trained_helper(opt, ctx, "kga.forget", ctx.forget()),
                  of_unseen = trained_helper(opt, ctx, "kga.unseen", unseen);
  const double gap = mean_of(ctx.gather(
                   unseen,
                   [&](const Batch&b) { return ctx.task().divergence(answer(of_unseen, b), original(b)); })),
               first = std::fabs(mean_of(ctx.gather(ctx.forget(),
                                                    [&](const Batch&b) {
                                                      return ctx.task().divergence(answer(of_forget, b),
                                                                                   original(b));
                                                    })) -
                                 gap);
  double aligned = first;
  EpochOptions align;
  align.apart = {{.term = "align", .outer = [&](double mean) {
                    aligned = std::fabs(mean - gap);
                    return std::pair{aligned, mean > gap ? 1.0 : mean < gap ? -1.0 : 0.0};
                  }}};
  align.stop = [&] { return aligned <= opt.stop_portion * first; };
  const Stream retained =
      in_batches(ctx.subset(ctx.retain(), share_of(opt.retain_fraction, size_of(ctx.retain())), "kga.retain"),
                 opt.train.batch * opt.inner_step);
  constexpr std::size_t kRetain = 0;
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(
        zip(retained, ctx.forget()),
        [&](const Batch& b) -> Terms {
          if (b.source == kRetain)
            return {{.name = "stay",
                     .loss = ctx.task().divergence(original(b), ctx.student(b)),
                     .weight = opt.alpha}};
          return {{.name = "align", .loss = ctx.task().divergence(answer(of_forget, b), ctx.student(b))}};
        },
        align);
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace kga
}  // namespace expunge::methods
