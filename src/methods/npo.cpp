// Negative preference optimisation: a bounded ascent that fades as a sample becomes unlikely,
//   L = mean over F of (2/beta) softplus(-beta (nll - nll0)) + alpha * mean over R of loss(x, y),
// nll summed over the positions of one sample, nll0 the original's. variant = "simnpo" has no reference:
//   (2/beta) softplus(-beta (nll/len - delta)).
// Source: Zhang et al. 2024; SimNPO: Fan et al. 2024. Each sample has its own softplus: taken of a batch's
// mean, as some code does, it is another loss. An epoch is one pass over D_f, D_r cycles beside it. At theta0
// the gradient is gradient ascent's.
#include "methods/beside.hpp"

namespace expunge::methods {
namespace npo {

const Descriptor descriptor = {
    .name = "npo",
    .summary = "ascend on D_f with a preference loss that fades out, descend on D_r",
    .source = "Zhang et al., COLM 2024 (NPO); Fan et al., 2024 (SimNPO)",
    .copies = 1,
    .taxonomy = {.measure = "loss",
                 .corrupt = "gradient",
                 .retain = "true labels",
                 .parameters = "dense, internal"},
    .deviations = {"classification: the answer's negative log-likelihood is -log p_y"},
    .noop_on_empty = true,
    .plan = {}};

struct Options : MethodOptions {
  std::string variant = "npo";
  double beta = 0.1, delta = 0, alpha = 1;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 1e-5;
  defaults.epochs = 10;
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.variant =
      in.choice("variant", opt.variant, {"npo", "simnpo"}, "with the original as reference, or without");
  opt.beta = in.number("beta", opt.variant == "simnpo" ? 4.5 : opt.beta, config::gt(0),
                       "sharpness; towards 0 the loss becomes gradient ascent");
  opt.delta = in.number("delta", opt.delta, config::any(), "margin of simnpo");
  opt.alpha = in.number("alpha", opt.alpha, config::ge(0), "weight of the loss on D_r; 0 = D_f only");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  return plan_beside(opt.train, opt.alpha, opt.variant == "npo", sizes);
}

#ifdef EXPUNGE_ENGINE
torch::Tensor preference(const Options& opt, Context& ctx, const Batch& b, const Teacher& original) {
  const models::Tensors student = ctx.student(b);
  const torch::Tensor margin = opt.variant == "npo"
                                   ? ctx.task().negative_log_likelihood(student, b.labels) -
                                         ctx.task().negative_log_likelihood(original(b), b.labels)
                                   : ctx.task().loss(student, b.labels) - opt.delta;
  return at::softplus(margin * -opt.beta) * (2 / opt.beta);
}

Outcome run(const Options& opt, Context& ctx) {
  const Teacher original = ctx.freeze();
  return run_beside(ctx, opt.train.epochs, opt.alpha, "forget",
                    [&](const Batch& b) { return preference(opt, ctx, b, original); });
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace npo
}  // namespace expunge::methods
