// Representation misdirection (RMU): steer the features of D_f towards one fixed random direction, hold those
// of D_r where the original has them,
//   L = mean over F of MSE(h(x), c u) + alpha * mean over R of MSE(h(x), h0(x)),
// h the model's last map ("features"), u a random unit vector. Only the last few weight tensors before the
// classifier are trained.
// Source: Li et al. 2024 (WMDP). The reference steers one layer of a language model and trains three of its
// down-projections; here the layer is the last one. An epoch is one pass over D_f, D_r cycles beside it.
#include "methods/counting.hpp"
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace rmu {

const Descriptor descriptor = {
    .name = "rmu",
    .summary = "steer the features of D_f to a random direction, hold those of D_r",
    .source = "Li et al., ICML 2024 (WMDP)",
    .copies = 3,
    .taxonomy = {.measure = "output",
                 .corrupt = "model",
                 .retain = "original",
                 .parameters = "sparse, internal"},
    .needs = {Need::kHead},
    .deviations =
        {"the layer is the last map of features, the trained tensors are the last weights before the "
         "classifier",
         "alpha is 1: the reference's 1200 belongs to the scale of its layer"},
    .noop_on_empty = true,
    .refuses = {{"lora", "it trains the last weight matrices, which adapters leave frozen"}},
    .plan = {}};

struct Options : MethodOptions {
  double steering = 2, alpha = 1;
  std::int64_t tensors = 3;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 5e-5;
  defaults.epochs = 1;
  defaults.bn = "frozen";
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.steering = in.number("steering", opt.steering, config::gt(0), "length of the target of D_f's features");
  opt.alpha = in.number("alpha", opt.alpha, config::ge(0), "weight of holding the features of D_r");
  opt.tensors = in.integer("tensors", opt.tensors, config::ge(1),
                           "trained weight tensors, counted back from the classifier");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const std::int64_t steps = steps_of(sizes.forget, opt.train.batch), epochs = opt.train.epochs;
  const auto beside = static_cast<double>(epochs * cycled_samples(steps, sizes.retain, opt.train.batch));
  const double passes = static_cast<double>(epochs * sizes.forget) + beside;
  return {{"forget", epochs * steps, passes, passes, beside}};
}

#ifdef EXPUNGE_ENGINE
// 1 where a parameter stays as it is: everything but the last weight matrices before the classifier.
torch::Tensor fixed_parameters(const Options& opt, const Context& ctx) {
  const auto& layout = ctx.layout();
  torch::Tensor fixed = torch::ones({layout.size()}, torch::kBool);
  std::int64_t left = opt.tensors;
  for (std::size_t i = layout.entries.size(); i-- > 0 && left > 0;) {
    const auto& e = layout.entries[i];
    if (e.shape.size() < 2 || ctx.is_head(e.name)) continue;
    fixed.narrow(0, e.offset, e.numel).fill_(false);
    --left;
  }
  return fixed.to(layout.values.device());
}

// Mean square of each sample's elements; of a text the padding does not count.
torch::Tensor mean_square(const torch::Tensor& x, const models::Tensors& outputs) {
  const torch::Tensor squares = x.to(torch::kFloat).square();
  const auto real = outputs.find("real");
  if (real == outputs.end()) return squares.flatten(1).mean(1);
  return (squares.mean(2) * real->second).sum(1) / real->second.sum(1).clamp_min(1);
}

torch::Tensor direction(std::int64_t width, std::uint64_t seed) {
  const Rng rng(seed, "steering");
  torch::Tensor u = torch::zeros({width}, torch::kFloat);
  for (std::int64_t i = 0; i < width; ++i) u[i] = rng.uniform(static_cast<std::uint64_t>(i));
  return u / u.norm();
}

Outcome run(const Options& opt, Context& ctx) {
  const Teacher original = ctx.freeze({"features"});
  const torch::Tensor fixed = fixed_parameters(opt, ctx), start = ctx.values().clone();
  EpochOptions some;
  some.penalty = [&](const torch::Tensor&, torch::Tensor& g) { g.masked_fill_(fixed, 0); };
  some.after_step = [&](torch::Tensor& values) { values.copy_(torch::where(fixed, start, values)); };
  constexpr std::size_t kForget = 0;
  torch::Tensor target;
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(
        zip(ctx.forget(), ctx.retain()),
        [&](const Batch& b) -> Terms {
          const models::Tensors student = ctx.student(b);
          const torch::Tensor& h = student.at("features");
          if (!target.defined()) target = direction(h.size(-1), ctx.seed()).to(h.device()) * opt.steering;
          if (b.source == kForget) return {{.name = "steer", .loss = mean_square(h - target, student)}};
          return {{.name = "hold",
                   .loss = mean_square(h - original(b).at("features"), student),
                   .weight = opt.alpha}};
        },
        some);
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace rmu
}  // namespace expunge::methods
