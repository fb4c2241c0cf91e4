// Bad teacher: distil from a randomly initialised teacher on D_f and from the original on a part of D_r,
//   L = mean over F of KD_T(bad, student) + mean over Rsub of KD_T(original, student).
// Source: Chundawat et al. 2023; row 3 of MU-Bench's taxonomy. Labels are not used. Departures: the two kinds
// are averaged separately (reduction = "joint" is the paper's single mean over the mixed batch), the
// divergence is summed over classes (the reference's "mean" also divides by their number), and the bad
// teacher's initialiser covers every parameter.
#include "methods/counting.hpp"
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace bad_t {

const Descriptor descriptor = {
    .name = "bad_t",
    .summary = "distil from an untrained teacher on D_f, from the original on D_r",
    .source = "Chundawat et al., AAAI 2023",
    .copies = 2,
    .taxonomy = {.measure = "logit",
                 .corrupt = "model",
                 .retain = "original",
                 .parameters = "dense, internal"},
    .deviations = {"the two kinds of sample are averaged separately; reduction = \"joint\" is the paper's",
                   "the divergence is summed over classes, not averaged",
                   "the bad teacher is initialised anew in every parameter"},
    .plan = {}};

struct Options : MethodOptions {
  double retain_fraction = 0.3, temperature = 1;
  std::string reduction = "separate";
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 8e-4;
  defaults.epochs = 1;
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.retain_fraction = in.number("retain_fraction", opt.retain_fraction, config::between(0, 1),
                                  "share of D_r that is distilled, drawn once");
  opt.temperature =
      in.number("temperature", opt.temperature, config::gt(0), "softening of both distributions");
  opt.reduction = in.choice("reduction", opt.reduction, {"separate", "joint"},
                            "one mean for each kind of sample, or one over the batch");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const std::int64_t samples = sizes.forget + share_of(opt.retain_fraction, sizes.retain);
  const auto passes = static_cast<double>(opt.train.epochs * samples);
  return {{"mix", opt.train.epochs * steps_of(samples, opt.train.batch), passes, passes, passes}};
}

#ifdef EXPUNGE_ENGINE
// Each sample's outputs from its own teacher, so that a sample costs one teacher pass. Teachers are in eval
// mode: rows do not depend on one another.
models::Tensors own_teacher(const Batch& b, const Teacher& bad, const Teacher& good) {
  const torch::Tensor forget = (b.is_forget > 0.5).nonzero().flatten(),
                      retain = (b.is_forget < 0.5).nonzero().flatten();
  if (retain.numel() == 0) return bad(b);
  if (forget.numel() == 0) return good(b);
  models::Tensors out = bad(b, forget);
  const models::Tensors rest = good(b, retain);
  const torch::Tensor back = torch::cat({forget, retain}).argsort();
  for (auto& [name, value] : out) value = torch::cat({value, rest.at(name)}).index_select(0, back);
  return out;
}

Outcome run(const Options& opt, Context& ctx) {
  const Teacher good = ctx.freeze(), bad = ctx.random_teacher();
  const Stream all = ctx.retain();
  const auto retained = static_cast<std::int64_t>(all.sources[0].ids->size());
  const Stream mixed =
      ctx.mix(ctx.forget(), ctx.subset(all, share_of(opt.retain_fraction, retained), "rsub"));
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(mixed, [&](const Batch& b) -> Terms {
      const torch::Tensor kd =
          ctx.task().divergence(own_teacher(b, bad, good), ctx.student(b), opt.temperature);
      if (opt.reduction == "joint") return {{.name = "distil", .loss = kd}};
      return {{.name = "bad", .loss = kd, .over = Over::kForget},
              {.name = "good", .loss = kd, .over = Over::kRetain}};
    });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace bad_t
}  // namespace expunge::methods
