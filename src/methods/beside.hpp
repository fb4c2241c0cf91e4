// The program that npo and dpo share: passes over D_f with a preference loss, D_r cycling beside it with the
// task's loss at weight alpha (0: D_f alone).
#pragma once

#include "methods/counting.hpp"
#include "methods/method.hpp"
#ifdef EXPUNGE_ENGINE
#include "engine/context.hpp"
#endif

namespace expunge::methods {

// `reference`: the original sees D_f, too.
inline std::vector<Phase> plan_beside(const config::TrainOptions& train, double alpha, bool reference,
                                      const Sizes& sizes) {
  const std::int64_t steps = steps_of(sizes.forget, train.batch);
  const std::int64_t beside = alpha > 0 ? cycled_samples(steps, sizes.retain, train.batch) : 0;
  const auto passes = static_cast<double>(train.epochs * (sizes.forget + beside));
  return {{"forget", train.epochs * steps, passes, passes,
           reference ? static_cast<double>(train.epochs * sizes.forget) : 0.0}};
}

#ifdef EXPUNGE_ENGINE
// `on_forget`: losses [n] of a grain of D_f; `name`: of their term.
inline Outcome run_beside(Context& ctx, std::int64_t epochs, double alpha, const std::string& name,
                          const std::function<torch::Tensor(const Batch&)>& on_forget) {
  constexpr std::size_t kForget = 0;
  const Stream stream = alpha > 0 ? zip(ctx.forget(), ctx.retain()) : ctx.forget();
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch)
    ctx.epoch(stream, [&](const Batch& b) -> Terms {
      if (b.source == kForget) return {{.name = name, .loss = on_forget(b)}};
      return {{.name = "retain", .loss = ctx.task().loss(ctx.student(b), b.labels), .weight = alpha}};
    });
  return Outcome::kFinished;
}
#endif

}  // namespace expunge::methods
