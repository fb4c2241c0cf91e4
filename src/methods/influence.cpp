// Influence unlearning with WoodFisher: one Newton step that takes D_f out of the training loss,
//   v = (sum over F of grad) / n - |F| / (n |R|) (sum over R of grad),  n = |F| + |R|,
//   theta <- theta + alpha H^-1 v,
// H^-1 v by a rank-one recursion over single samples g_1, g_2, ... of D_r: o <- g_1, k <- v; then for each g
//   k <- k - o (k.g) / (N + o.g),  o <- o - o (o.g) / (N + o.g).
// Source: Izzo et al. 2021 and Koh & Liang 2017 in the form of Jia et al. 2023; Singh & Alistarh 2020 for the
// recursion, as the former's code has it. Eval mode, all at theta0.
#include <algorithm>

#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace influence {

const Descriptor descriptor = {
    .name = "influence",
    .summary = "one Newton step that removes D_f, with WoodFisher's inverse Hessian",
    .source = "Izzo et al., AISTATS 2021; Singh and Alistarh, NeurIPS 2020 (WoodFisher)",
    .copies = 6,
    .taxonomy = {.measure = "loss",
                 .corrupt = "gradient",
                 .retain = "curvature of D_r",
                 .parameters = "dense, internal"},
    .deviations = {"dot products of the recursion are taken in double precision"},
    .noop_on_empty = true,
    .noop_on_zero_lr = false,
    .refuses = {{"superloss", "it takes no training steps"}},
    .plan = {}};

struct Options : MethodOptions {
  double alpha = 1;
  std::int64_t samples = 1000;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.bn = "frozen";
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.alpha = in.number("alpha", opt.alpha, config::ge(0), "length of the step");
  opt.samples =
      in.integer("samples", opt.samples, config::ge(1), "single samples of D_r in the inverse Hessian");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  if (sizes.forget == 0) return {};
  const auto passes = static_cast<double>(sizes.forget + sizes.retain + std::min(opt.samples, sizes.retain));
  return {{"gradients and curvature", 0, passes, passes}};
}

#ifdef EXPUNGE_ENGINE
double dot_product(const torch::Tensor& a, const torch::Tensor& b) {
  return (a.to(torch::kDouble) * b.to(torch::kDouble)).sum().item<double>();
}

// H^-1 v from single samples of D_r. The state is (k, o, number of samples so far).
torch::Tensor inverse_hessian_times(const Options& opt, Context& ctx, const torch::Tensor& v,
                                    const LossFunction& loss) {
  const std::int64_t p = v.numel();
  const Stream single = in_batches(ctx.subset(ctx.retain(), opt.samples, "woodfisher"), 1);
  const auto n = static_cast<double>(opt.samples);
  const torch::Tensor state = ctx.fold(single, loss, torch::cat({v, torch::zeros({p + 1}, v.options())}),
                                       [&](torch::Tensor& s, const torch::Tensor& g, std::int64_t) {
                                         torch::Tensor k = s.narrow(0, 0, p), o = s.narrow(0, p, p);
                                         const bool first = s[-1].item<double>() == 0;
                                         s[-1].add_(1);
                                         if (first) {
                                           o.copy_(g);
                                           return;
                                         }
                                         const double og = dot_product(o, g), kg = dot_product(k, g);
                                         k.sub_(o, kg / (n + og));
                                         o.sub_(o.clone(), og / (n + og));
                                       });
  return state.narrow(0, 0, p);
}

Outcome run(const Options& opt, Context& ctx) {
  const auto forget = static_cast<double>(size_of(ctx.forget())),
             retain = static_cast<double>(size_of(ctx.retain()));
  if (forget == 0) return Outcome::kFinished;
  const LossFunction loss = [&](const Batch& b) -> Terms {
    return {{.name = "influence", .loss = ctx.task().loss(ctx.student(b), b.labels)}};
  };
  const double n = forget + retain;
  const torch::Tensor on_forget = ctx.accumulate(ctx.forget(), loss),
                      on_retain = ctx.accumulate(ctx.retain(), loss);
  const torch::Tensor v = on_forget / n - on_retain * (forget / (n * std::max(1.0, retain)));
  const torch::Tensor step = inverse_hessian_times(opt, ctx, v, loss);
  ctx.update("newton", [&](torch::Tensor& values) { values.add_(step, opt.alpha); });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace influence
}  // namespace expunge::methods
