// Selective synaptic dampening: shrink, once, the weights that matter far more for D_f than for the training
// set,
//   where I_f > alpha I_D: theta <- theta min(lambda I_D / I_f, 1),
// I = mean over the set of the squared gradient of the loss, at theta0 in eval mode; D is D_f and D_r
// together. Source: Foster et al. 2024. Squares are of single samples' gradients, so that the result does not
// depend on the batch size; gradient = "batch" squares the mean gradient of each batch, as the reference
// does.
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include <fmt/format.h>

#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace ssd {

const Descriptor descriptor = {
    .name = "ssd",
    .summary = "dampen the weights that matter more for D_f than for the training set",
    .source = "Foster et al., AAAI 2024 (Selective Synaptic Dampening)",
    .copies = 4,
    .taxonomy = {.measure = "loss",
                 .corrupt = "dampening",
                 .retain = "curvature of D_train",
                 .parameters = "sparse, internal"},
    .deviations = {"squares are taken of single samples' gradients; gradient = \"batch\" is the reference's"},
    .noop_on_empty = true,
    .noop_on_zero_lr = false,
    .draws_nothing = true,
    .refuses = {{"superloss", "it takes no training steps"}},
    .plan = {}};

struct Options : MethodOptions {
  double alpha = 10, lambda = 1;
  std::string gradient = "sample";
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.bn = "frozen";
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.alpha =
      in.number("alpha", opt.alpha, config::ge(0), "how many times more a weight must matter for D_f");
  opt.lambda =
      in.number("lambda", opt.lambda, config::ge(0), "strength of the dampening: smaller is stronger");
  opt.gradient = in.choice("gradient", opt.gradient, {"sample", "batch"},
                           "square the gradient of each sample, or of each batch's mean");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  if (sizes.forget == 0) return {};
  const auto forget = static_cast<double>(sizes.forget), retain = static_cast<double>(sizes.retain);
  const double rest = opt.gradient == "batch" ? forget + retain : retain;  // D_f's squares serve twice
  return {{"importance", 0, forget + rest, forget + rest}};
}

#ifdef EXPUNGE_ENGINE
// Mean over the batches of the squared mean gradient.
torch::Tensor batch_importance(Context& ctx, const Stream& stream, const LossFunction& loss) {
  torch::Tensor state = torch::zeros({ctx.layout().size() + 1}, ctx.values().options());
  state = ctx.fold(stream, loss, state, [](torch::Tensor& sum, const torch::Tensor& g, std::int64_t samples) {
    sum.narrow(0, 0, g.numel()).add_((g / static_cast<double>(samples)).square());
    sum[-1].add_(1);
  });
  return state.narrow(0, 0, ctx.layout().size()) / state[-1].clamp_min(1);
}

Outcome run(const Options& opt, Context& ctx) {
  const auto forget = static_cast<double>(size_of(ctx.forget())),
             retain = static_cast<double>(size_of(ctx.retain()));
  if (forget == 0) return Outcome::kFinished;
  const LossFunction loss = [&](const Batch& b) -> Terms {
    return {{.name = "importance", .loss = ctx.task().loss(ctx.student(b), b.labels)}};
  };
  torch::Tensor of_forget, of_all;
  if (opt.gradient == "batch") {
    of_forget = batch_importance(ctx, ctx.forget(), loss);
    of_all = batch_importance(ctx, ctx.mix(ctx.forget(), ctx.retain()), loss);
  } else {
    const torch::Tensor sum = ctx.accumulate_squares(ctx.forget(), loss);
    of_forget = sum / forget;
    of_all = (sum + ctx.accumulate_squares(ctx.retain(), loss)) / (forget + retain);
  }
  ctx.update("dampen", [&](torch::Tensor& values) {
    const torch::Tensor selected = of_forget > of_all * opt.alpha;  // never where D_f's importance is 0
    const torch::Tensor factor = (of_all * opt.lambda / of_forget).clamp_max(1);
    values.copy_(torch::where(selected, values * factor, values));
    const auto count = selected.sum().item<std::int64_t>();
    ctx.log(fmt::format("ssd: dampened {} of {} weights", count, ctx.layout().numel()));
  });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace ssd
}  // namespace expunge::methods
