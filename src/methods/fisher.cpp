// Fisher forgetting: add noise where the loss on D_r is flat, so that what only D_f needs is lost,
//   theta_j <- theta_j + N(0, v_j),  v_j = alpha min((1 / (F_j + 1e-8))^power, clamp),
//   F_j = (1/|D_r|) sum over x in D_r of sum_k p_k(x) (d(-log p_k(x)) / d theta_j)^2,  eval mode.
// Source: Golatkar et al. 2020 ("Eternal Sunshine of the Spotless Net") as its code has it; the paper's
// optimum has power 1/2. With `tensor_rules`, as in that code: the clamp is 1e2 in the classifier and 1e3
// elsewhere, v is averaged over dimension 1 of matrices and convolutions, and is ten times larger in the
// classifier (else in vectors); a class of which nothing remains gets mean 0 and v = 1e-4 in its classifier
// rows. The classifier is known by name, not by its shape.
#include "core/error.hpp"
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include <set>

#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace fisher {

const Descriptor descriptor = {
    .name = "fisher",
    .summary = "noise inversely related to the curvature of the loss on D_r",
    .source = "Golatkar et al., CVPR 2020 (Eternal Sunshine of the Spotless Net)",
    .copies = 4,
    .taxonomy = {.measure = "loss",
                 .corrupt = "none",
                 .retain = "curvature of D_r",
                 .parameters = "dense, internal"},
    .needs = {Need::kTargets},
    .deviations = {"the classifier is found by name, not by a dimension that equals the number of classes",
                   "squares are of single samples' gradients, each class with its own backward pass"},
    .noop_on_zero_lr = false,
    .refuses = {{"superloss", "it takes no training steps"}},
    .plan = {}};

struct Options : MethodOptions {
  double alpha = 1e-6, power = 1;
  std::string labels = "auto";
  bool exact(std::int64_t classes) const { return labels == "exact" || (labels == "auto" && classes > 0); }
  bool tensor_rules = true;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.bn = "frozen";
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.alpha = in.number("alpha", opt.alpha, config::ge(0), "scale of the noise's variance");
  opt.power = in.number("power", opt.power, config::gt(0), "exponent of 1/F: 1 as coded, 0.5 as derived");
  opt.labels = in.choice("labels", opt.labels, {"auto", "exact", "sampled", "empirical"},
                         "F over all classes, over answers drawn from the model, or over the true one; auto: "
                         "exact where there are classes, sampled for language models");
  opt.tensor_rules = in.flag("tensor_rules", opt.tensor_rules,
                             "average, clamp and scale the variance tensor by tensor, as the reference does");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  if (opt.labels == "exact" && sizes.classes == 0)
    throw ConfigError(
        "method.fisher.labels: \"exact\" sums over classes, and the task has none; \"sampled\" "
        "draws answers from the model");
  const auto retain = static_cast<double>(sizes.retain);
  return {
      {"fisher", 0, retain, retain * (opt.exact(sizes.classes) ? static_cast<double>(sizes.classes) : 1.0)}};
}

#ifdef EXPUNGE_ENGINE
// Terms whose squared gradients sum to a sample's share of F.
Terms curvature(const Options& opt, Context& ctx, const Batch& b) {
  const models::Tensors out = ctx.student(b);
  const tasks::Task& task = ctx.task();
  if (!opt.exact(ctx.classes())) {
    const bool empirical = opt.labels == "empirical";
    const torch::Tensor y = empirical ? b.labels : task.drawn(out, b, Rng(ctx.seed(), "fisher"));
    return {{.name = empirical ? "true" : "drawn", .loss = task.negative_log_likelihood(out, y)}};
  }
  Terms terms;
  for (std::int64_t k = 0; k < ctx.classes(); ++k) {
    const torch::Tensor l = task.loss(out, torch::full_like(b.labels, k));
    terms.push_back({.name = "class", .loss = l * (-l).detach().exp().sqrt()});
  }
  return terms;
}

// Classes with samples in D_f and none in D_r.
std::vector<std::int64_t> erased_classes(Context& ctx) {
  const auto labels_of = [&](const Stream& stream) {
    const torch::Tensor y =
        ctx.gather(stream, [](const Batch& b) { return b.labels; }).to(torch::kCPU).flatten();
    std::set<std::int64_t> out;
    for (std::int64_t i = 0; i < y.numel(); ++i)
      out.insert(static_cast<std::int64_t>(y.data_ptr<float>()[i]));
    return out;
  };
  const auto forgotten = labels_of(ctx.forget()), kept = labels_of(ctx.retain());
  std::vector<std::int64_t> out;
  for (auto c : forgotten)
    if (!kept.count(c)) out.push_back(c);
  return out;
}

struct Moments {
  torch::Tensor mean, variance;
};

Moments moments(const Options& opt, const Context& ctx, const torch::Tensor& values,
                const torch::Tensor& fisher, const std::vector<std::int64_t>& erased) {
  const torch::Tensor spread = (fisher + 1e-8).reciprocal().pow(opt.power).clamp_max(1e3);
  Moments out{values.clone(), spread * opt.alpha};
  if (!opt.tensor_rules) return out;
  const auto& layout = ctx.layout();
  for (std::size_t i = 0; i < layout.entries.size(); ++i) {
    const auto& e = layout.entries[i];
    const bool head = ctx.is_head(e.name);
    torch::Tensor v = layout.view_of(out.variance, i);
    if (head) v.clamp_max_(opt.alpha * 1e2);
    if (e.shape.size() > 1) v.copy_(v.mean(1, true).expand_as(v));
    if (head)
      for (auto c : erased) {
        layout.view_of(out.mean, i)[c].zero_();
        v[c].fill_(1e-4);
      }
    if (head || e.shape.size() == 1) v.mul_(10);
  }
  return out;
}

Outcome run(const Options& opt, Context& ctx) {
  const torch::Tensor squares =
      ctx.accumulate_squares(ctx.retain(), [&](const Batch& b) { return curvature(opt, ctx, b); });
  const auto n = static_cast<double>(std::max<std::int64_t>(1, size_of(ctx.retain())));
  const auto erased =
      opt.tensor_rules && ctx.classes() > 0 ? erased_classes(ctx) : std::vector<std::int64_t>();
  ctx.update("noise", [&](torch::Tensor& values) {
    const Moments m = moments(opt, ctx, values, squares / n, erased);
    values.copy_(m.mean + ctx.noise("fisher") * m.variance.sqrt());  // draws are 0 in the padding
  });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace fisher
}  // namespace expunge::methods
