#include "engine/relearn.hpp"

#include "metrics/sums.hpp"

namespace expunge {

config::TrainOptions recipe_of(const store::Record& original) {
  config::Diagnostics problems;
  auto in = config::Reader::resolved("original", original.config.at("settings").at("original"), problems);
  auto recipe = config::read_train_options(in, {});
  problems.throw_if_any();
  return recipe;
}

double relearn_passes(Node& node, Context::Setup setup, config::TrainOptions recipe, double target,
                      std::int64_t most) {
  if (setup.forget.empty()) return std::nan("");
  const double evaluated = node.evaluated;
  recipe.schedule = "constant";
  recipe.warmup = 0;
  recipe.threads = setup.train.threads;
  setup.train = recipe;
  if (recipe.grain > 0) setup.grain = recipe.grain;
  setup.budget_flops = 0;
  setup.progress = [](std::int64_t) {};
  setup.save = [](const store::Checkpoint&) {};
  setup.resume.reset();
  Context ctx(std::move(setup));
  const auto recovered = [&] {
    const auto outputs = node.outputs(*node.model, data::Side::kTrain, node.splits.forget);
    // Rank 0 holds them.
    return node.comm.all_gather_value(metrics::split_sums(outputs).accuracy()).front() >= target;
  };
  std::int64_t passes = 0;
  try {
    for (; passes <= most && !recovered(); ++passes)
      if (passes < most)
        ctx.epoch(ctx.forget(), [&](const Batch& b) {
          return Terms{{"loss", ctx.task().loss(ctx.student(b), b.labels)}};
        });
  } catch (const Stopped&) {  // training diverged: it does not recover
    passes = most + 1;
  }
  node.evaluated = evaluated;
  return static_cast<double>(passes);
}

}  // namespace expunge
