// Random labels ("amnesiac unlearning"): give the samples of D_f wrong labels and train on everything,
//   L = mean over mix(F', R) of loss(x, y~),  y~ != y on D_f, y~ = y on D_r.
// Source: Graves et al. 2021; row 2 of MU-Bench's taxonomy. A wrong label is uniform over the other classes
// and drawn once per sample. label_mode = "uniform_all" (a share 1/K stays right; SalUn's code) and
// "plus_one" (MU-Bench's code) reproduce others; `redraw` draws anew each pass. Classes are those of the data
// set, not those seen in D_r.
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {
namespace rand_label {

const Descriptor descriptor = {
    .name = "rand_label",
    .summary = "train on D_r and on D_f with wrong labels",
    .source = "Graves et al., AAAI 2021",
    .taxonomy = {.measure = "loss",
                 .corrupt = "data",
                 .retain = "true labels",
                 .parameters = "dense, internal"},
    .deviations =
        {"labels are drawn among the other classes, once; label_mode and redraw reproduce the others"},
    .plan = {}};

struct Options : MethodOptions {
  std::string label_mode = "uniform_other";
  bool redraw = false;
};

Options read(config::Reader& in) {
  config::TrainOptions defaults;
  defaults.optimizer.lr = 1e-3;
  defaults.optimizer.weight_decay = 1e-4;
  defaults.epochs = 3;
  Options opt;
  opt.train = config::read_train_options(in, defaults);
  opt.label_mode = in.choice("label_mode", opt.label_mode, {"uniform_other", "plus_one", "uniform_all"},
                             "wrong label of a sample of D_f: another class, the next class, or any class");
  opt.redraw = in.flag("redraw", opt.redraw, "draw the wrong labels anew in each pass");
  return opt;
}

[[maybe_unused]] std::vector<Phase> plan(const Options& opt, const Sizes& sizes) {
  const std::int64_t samples = sizes.forget + sizes.retain;
  const auto passes = static_cast<double>(opt.train.epochs * samples);
  return {{"mix", opt.train.epochs * steps_of(samples, opt.train.batch), passes, passes}};
}

#ifdef EXPUNGE_ENGINE
Outcome run(const Options& opt, Context& ctx) {
  const Stream mixed = ctx.mix(ctx.forget(), ctx.retain());
  for (std::int64_t epoch = 0; epoch < opt.train.epochs; ++epoch)
    ctx.epoch(mixed, [&](const Batch& b) -> Terms {
      const Batch wrong = ctx.corrupted(b, opt.label_mode, opt.redraw);
      return {{.name = "mix", .loss = ctx.task().loss(ctx.student(wrong), wrong.labels)}};
    });
  return Outcome::kFinished;
}
#endif

EXPUNGE_METHOD(descriptor, read, plan, run)

}  // namespace rand_label
}  // namespace expunge::methods
