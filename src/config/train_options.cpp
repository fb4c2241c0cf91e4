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
  o.name = table.choice("name", o.name, {"adamw", "adam", "sgd", "sophia"},
                        "optimiser; sophia: clipped second-order steps (SOUL)");
  o.lr = table.number("lr", o.lr, ge(0), "learning rate");
  o.weight_decay = table.number("weight_decay", o.weight_decay, ge(0),
                                "decoupled for adamw and sophia, added to the gradient for adam and sgd");
  o.momentum = table.number("momentum", o.momentum, between(0, 1), "momentum of sgd");
  const bool sophia = o.name == "sophia";
  o.beta1 = table.number("beta1", o.beta1, between(0, 1), "first-moment decay of adam, adamw and sophia");
  o.beta2 = table.number("beta2", sophia ? 0.95 : o.beta2, between(0, 1),
                         "second-moment decay of adam, adamw (0.999) and sophia (0.95)");
  o.eps = table.number("eps", o.eps, gt(0), "denominator offset of adam and adamw");
  if (sophia) {
    o.rho = table.number("rho", o.rho, gt(0), "sophia: a step is clipped where |m| > rho sophia_bs h");
    o.sophia_bs = table.number("sophia_bs", o.sophia_bs, gt(0), "sophia: batch size in the clipping bound");
    o.double_ema = table.flag("double_ema", o.double_ema,
                              "sophia: update the first moment twice a step, as the published code does");
  }
  o.decay = table.choice("decay", o.decay, {"all", "matrices", "trainer"},
                         "which tensors decay: all; matrices (biases and norm layers exempt); trainer "
                         "(biases and LayerNorm exempt, BatchNorm not)");
  table.finish();
  return o;
}

void read_lora(Reader& in, TrainOptions& o) {
  Reader table = in.table("lora");
  o.lora_alpha = table.number("alpha", o.lora_alpha, ge(0), "adapters are scaled by alpha / rank; 0 = rank");
  o.lora_dropout = table.number("dropout", o.lora_dropout, between(0, 0.99), "on the adapters' input");
  table.finish();
}

void read_curriculum(Reader& in, TrainOptions& o) {
  Reader table = in.table("curriculum");
  o.curriculum = table.choice("name", o.curriculum, {"none", "superloss"},
                              "weight of a sample by its loss; superloss: easy ones more, hard ones less");
  if (o.curriculum == "superloss") {
    o.superloss_lambda = table.number("lambda", o.superloss_lambda, gt(0), "how little the weights vary");
    o.superloss_tau = table.choice("tau", o.superloss_tau, {"mean", "exponential", "log_classes"},
                                   "loss of weight 1: mean of all so far, exponential mean, or ln K");
    o.mb_tau = table.flag("mb_tau", o.mb_tau,
                          "divide the mean of all losses by the sum of the weights, as MU-Bench's code does");
  }
  table.finish();
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
  o.precision = in.choice("precision", o.precision, {"fp32", "bf16", "tf32"},
                          "fp32; bf16 autocast with fp32 parameters and losses; tf32 products, on GPUs");
  o.bn = in.choice("bn", o.bn, {"train", "frozen"},
                   "BatchNorm: per-grain statistics, or running statistics left alone");
  o.trainable = in.text("trainable", o.trainable,
                        "what may change: all, fusion (the fusion module alone), lora:20% (adapters of that "
                        "share of the parameters, and the head) or lora:r=8");
  read_lora(in, o);
  read_curriculum(in, o);
  return o;
}

}  // namespace expunge::config
