// Preference optimisation for forgetting: prefer another answer y_w (a refusal; in classification another
// class) to the true answer of D_f,
//   L = mean over F of softplus(-beta [(nll_l - nll0_l) - (nll_w - nll0_w)]) + alpha * mean over R of loss(x,
//   y),
// nll summed over the positions of one answer; y_l is the true one, nll0 the original's. variant = "po" only
// trains on the preferred answer: mean over F of loss(x, y_w) + alpha * mean over R of loss.
// Source: Rafailov et al. 2023; Maini et al. 2024 (TOFU). The preferred answer is drawn by (seed, sample,
// pass). An epoch is one pass over D_f, D_r cycles beside it.
#include "methods/beside.hpp"

namespace expunge::methods {
namespace dpo {

const Descriptor descriptor = {.name = "dpo",
                               .summary = "prefer another answer to D_f's own, descend on D_r",
                               .source = "Rafailov et al., NeurIPS 2023; Maini et al., COLM 2024 (TOFU)",
                               .copies = 1,
                               .taxonomy = {.measure = "loss",
                                            .corrupt = "data",
                                            .retain = "true labels",
                                            .parameters = "dense, internal"},
                               .needs = {Need::kPreferredAnswer},
                               .deviations = {"classification: the preferred answer is a random other class; "
                                              "language models: a refusal of our own",
                                              "no factor 2/beta on the preference loss (some code has it)"},
                               .noop_on_empty = true,
                               .plan = {}};

struct Options : MethodOptions {
  std::string variant = "dpo";
  double beta = 0.1, alpha = 1;
  bool redraw = true;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 1e-5;
  defaults.epochs = 10;
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.variant = in.choice("variant", opt.variant, {"dpo", "po"},
                          "weigh both answers against the original, or train on the preferred one");
  opt.beta = in.number("beta", opt.beta, config::gt(0), "sharpness of the preference");
  opt.alpha = in.number("alpha", opt.alpha, config::ge(0), "weight of the loss on D_r; 0 = D_f only");
  opt.redraw = in.flag("redraw", opt.redraw, "draw the preferred answers anew in each pass");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const bool weighed = opt.variant == "dpo";
  auto phases = plan_beside(opt.train, opt.alpha, weighed, sizes);
  if (weighed && sizes.answers_are_inputs) {  // the preferred answer needs passes of its own
    const auto again = static_cast<double>(opt.train.epochs * sizes.forget);
    phases.front().forward += again, phases.front().backward += again, phases.front().teacher += again;
  }
  return phases;
}

#ifdef EXPUNGE_ENGINE
torch::Tensor preference(const Options& opt, Context& ctx, const Batch& b, const Teacher& original) {
  const Batch better = ctx.preferred(b, opt.redraw);
  if (opt.variant == "po") return ctx.task().loss(ctx.student(better), better.labels);
  const models::Tensors student = ctx.student(b), reference = original(b);
  const bool apart = ctx.task().answers_are_inputs();
  const auto change = [&](const models::Tensors& now, const models::Tensors& then, const Batch& answer) {
    return ctx.task().negative_log_likelihood(now, answer.labels) -
           ctx.task().negative_log_likelihood(then, answer.labels);
  };
  const torch::Tensor own = change(student, reference, b),
                      other = apart ? change(ctx.student(better), original(better), better)
                                    : change(student, reference, better);
  return at::softplus((own - other) * -opt.beta);
}

Outcome run(const Options& opt, Context& ctx) {
  const Teacher original = ctx.freeze();
  return run_beside(ctx, opt.train.epochs, opt.alpha, "prefer",
                    [&](const Batch& b) { return preference(opt, ctx, b, original); });
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace dpo
}  // namespace expunge::methods
