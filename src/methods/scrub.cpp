// SCRUB: push the student away from the original on D_f, pull it back on D_r. In epoch e
//   if e <= max_epochs, a pass over F with L = - mean KD_T(original, student);
//   then a pass over R with L = alpha * mean KD_T(original, student) + gamma * mean loss(x, y).
// Source: Kurmanji et al. 2023, interleaved as in their code; row 4 of MU-Bench's taxonomy. T^2 KL, teacher
// first. Departures: AdamW instead of Adam with decay in the gradient; BatchNorm uses the batch in the forget
// phase but leaves its running statistics alone. At theta0 the divergence is at its minimum: without dropout
// and without batch statistics the first forget pass has no gradient (and Adam would blow rounding noise up
// to full steps), so each epoch then runs its retain pass first.
#include <algorithm>

#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace scrub {

const Descriptor descriptor = {
    .name = "scrub",
    .summary = "move away from the original on D_f, stay with it on D_r",
    .source = "Kurmanji et al., NeurIPS 2023",
    .copies = 1,
    .taxonomy = {.measure = "loss and output",
                 .corrupt = "gradient",
                 .retain = "original and true labels",
                 .parameters = "dense, internal"},
    .deviations = {"AdamW instead of Adam with decay in the gradient",
                   "running statistics are left alone in forget passes",
                   "retain passes go first where the first forget pass would have no gradient"},
    .plan = {}};

struct Options : MethodOptions {
  std::int64_t max_epochs = 3, forget_batch = 0;
  double temperature = 2, alpha = 0.5, gamma = 1;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 5e-4;
  defaults.optimizer.weight_decay = 0.1;
  defaults.epochs = 10;
  defaults.schedule = "step";
  defaults.lr_steps = {5, 8, 9};
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.max_epochs = in.integer("max_epochs", opt.max_epochs, config::ge(0),
                              "epochs that also have a forget pass (the first ones)");
  opt.forget_batch = in.integer("forget_batch", opt.forget_batch, config::ge(0),
                                "samples a step of the forget passes; 0 = batch");
  opt.temperature =
      in.number("temperature", opt.temperature, config::gt(0), "softening of both distributions");
  opt.alpha = in.number("alpha", opt.alpha, config::ge(0), "weight of the divergence on D_r");
  opt.gamma = in.number("gamma", opt.gamma, config::ge(0), "weight of the task loss on D_r");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const std::int64_t away = std::min(opt.max_epochs, opt.train.epochs), back = opt.train.epochs;
  const std::int64_t forget_batch = opt.forget_batch > 0 ? opt.forget_batch : opt.train.batch;
  const auto forget = static_cast<double>(away * sizes.forget),
             retain = static_cast<double>(back * sizes.retain);
  return {{"forget", away * steps_of(sizes.forget, forget_batch), forget, forget, forget},
          {"retain", back * steps_of(sizes.retain, opt.train.batch), retain, retain, retain}};
}

#ifdef EXPUNGE_ENGINE
Outcome run(const Options& opt, Context& ctx) {
  const Teacher original = ctx.freeze();
  Stream forget = ctx.forget();
  forget.sources[0].batch = opt.forget_batch;
  const LossFunction away = [&](const Batch& b) -> Terms {
    const models::Tensors student = ctx.student(b);
    return {
        {.name = "away", .loss = ctx.task().divergence(original(b), student, opt.temperature), .weight = -1}};
  };
  const LossFunction back = [&](const Batch& b) -> Terms {
    const models::Tensors student = ctx.student(b);
    return {{.name = "stay",
             .loss = ctx.task().divergence(original(b), student, opt.temperature),
             .weight = opt.alpha},
            {.name = "retain", .loss = ctx.task().loss(student, b.labels), .weight = opt.gamma}};
  };

  const bool batch_statistics = ctx.has_batch_norm() && opt.train.bn == "train";
  const bool retain_first = !batch_statistics && !ctx.has_dropout();
  if (retain_first && opt.max_epochs > 0)
    ctx.log("scrub: no dropout, no batch statistics: retain passes go first, else nothing moves");
  EpochOptions forget_phase, retain_phase;
  if (batch_statistics) forget_phase.bn = BatchNormMode::kBatchOnly;
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch) {
    forget_phase.epoch = retain_phase.epoch = epoch;
    const bool moves_away = epoch < opt.max_epochs;
    if (moves_away && !retain_first) ctx.epoch(forget, away, forget_phase);
    ctx.epoch(ctx.retain(), back, retain_phase);
    if (moves_away && retain_first) ctx.epoch(forget, away, forget_phase);
  }
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace scrub
}  // namespace expunge::methods
