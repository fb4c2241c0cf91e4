#include "config/train_options.hpp"

#include <algorithm>

namespace expunge::config {

std::int64_t default_grain(std::int64_t batch, bool has_batch_norm) {
  std::int64_t grain = 1;
  while (grain * 2 <= std::min<std::int64_t>(32, batch / 4)) grain *= 2;
  return has_batch_norm ? std::max<std::int64_t>(grain, 8) : grain;
}

namespace {

OptimizerOptions read_optimizer(Reader& in, OptimizerOptions o) {
  Reader table = in.table("optimizer", {"lr", "weight_decay", "momentum"});
  o.name = table.choice("name", o.name, {"adamw", "adam", "sgd"}, "optimiser");
  o.lr = table.number("lr", o.lr, ge(0), "learning rate");
  o.weight_decay = table.number("weight_decay", o.weight_decay, ge(0),
                                "decoupled for adamw, added to the gradient for adam and sgd");
  o.momentum = table.number("momentum", o.momentum, between(0, 1), "momentum of sgd");
  o.beta1 = table.number("beta1", o.beta1, between(0, 1), "first-moment decay of adam and adamw");
  o.beta2 = table.number("beta2", o.beta2, between(0, 1), "second-moment decay of adam and adamw");
  o.eps = table.number("eps", o.eps, gt(0), "denominator offset of adam and adamw");
  o.decay = table.choice("decay", o.decay, {"all", "matrices", "trainer"},
                         "which tensors decay: all; matrices (biases and norm layers exempt); trainer "
                         "(biases and LayerNorm exempt, BatchNorm not)");
  table.finish();
  return o;
}

}  // namespace

TrainOptions read_train_options(Reader& in, const TrainOptions& defaults) {
  TrainOptions o = defaults;
  o.optimizer = read_optimizer(in, defaults.optimizer);
  o.schedule = in.choice("schedule", o.schedule, {"constant", "linear", "cosine", "step"},
                         "learning-rate schedule over all steps of the run");
  o.warmup = in.number("warmup", o.warmup, between(0, 1), "share of the steps with linear warm-up");
  o.min_lr = in.number("min_lr", o.min_lr, ge(0), "last learning rate of the cosine schedule");
  o.lr_steps = in.numbers("lr_steps", o.lr_steps, gt(0),
                          "epochs after which the step schedule multiplies the rate by lr_decay");
  o.lr_decay = in.number("lr_decay", o.lr_decay, between(0, 1), "factor of the step schedule");
  o.clip = in.number("clip", o.clip, ge(0), "global gradient norm, 0 = off");
  o.epochs = in.integer("epochs", o.epochs, ge(0), "passes over the method's main stream");
  o.batch = in.integer("batch", o.batch, ge(1), "samples a step, over all ranks");
  o.grain = in.integer(
      "grain", o.grain, ge(0),
      "samples of a grain; 0 = largest power of two <= min(32, batch/4), at least 8 with BatchNorm");
  o.threads = in.integer("threads", o.threads, ge(1), "threads inside a rank; part of the cell's id");
  o.precision = in.choice("precision", o.precision, {"fp32", "bf16"},
                          "fp32, or bf16 autocast with fp32 parameters and losses");
  o.bn = in.choice("bn", o.bn, {"train", "frozen"},
                   "BatchNorm: per-grain statistics, or running statistics left alone");
  return o;
}

}  // namespace expunge::config
