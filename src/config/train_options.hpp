// How parameters are trained: read by every method, by [train] and by [original]. Torch-free.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/reader.hpp"

namespace expunge::config {

struct OptimizerOptions {
  std::string name = "adamw";  // adamw | adam | sgd | sophia
  double lr = 1e-3;
  double weight_decay = 0;  // adamw, sophia: decoupled; adam, sgd: added to the gradient
  double momentum = 0;      // sgd
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double rho = 0.04, sophia_bs = 5120;  // sophia: its step is clipped where |m| > rho sophia_bs h
  bool double_ema = false;              // sophia: update m twice a step, as the published code does
  std::string decay = "trainer";  // which tensors decay: all | matrices (biases and norms exempt) | trainer
                                  // (HF Trainer: biases and LayerNorm exempt, BatchNorm not)
};

struct TrainOptions {
  OptimizerOptions optimizer;
  std::string schedule =
      "linear";       // constant | linear (to 0) | cosine (to min_lr) | step (lr_decay at lr_steps)
  double warmup = 0;  // fraction of all steps
  double min_lr = 0;  // cosine only
  std::vector<double> lr_steps;  // step only: epochs (1-based) after which the rate is multiplied
  double lr_decay = 0.1;
  double clip = 1.0;  // global gradient norm; 0 = off
  std::int64_t epochs = 1;
  std::int64_t batch = 128;         // global batch, samples
  std::int64_t grain = 0;           // samples of a grain; 0 = the default rule of default_grain()
  std::int64_t threads = 1;         // inside a rank; part of the cell's id because it can change bits
  std::string precision = "fp32";   // fp32 | bf16 (autocast) | tf32 (GPUs)
  std::string bn = "train";         // train | frozen
  std::string trainable = "all";    // all | fusion | lora:20% | lora:r=8 (models/trainable.hpp)
  double lora_alpha = 0;            // scale of the adapters is alpha / rank; 0 = rank, so 1
  double lora_dropout = 0.1;        // on the adapters' input
  std::string curriculum = "none";  // none | superloss
  double superloss_lambda = 10;
  std::string superloss_tau = "mean";  // mean | exponential | log_classes
  bool mb_tau = false;                 // tau's denominator sums the weights, as MU-Bench's code does
};

// Largest power of two <= min(32, batch/4), at least 1; at least 8 when the model has BatchNorm (design:
// grains).
std::int64_t default_grain(std::int64_t batch, bool has_batch_norm);

// Reads the keys above from `in`, `defaults` being the method's own. `optimizer` may be a table or a name;
// `lr`, `weight_decay` and `momentum` are also accepted beside it as short forms (in one layer the table
// wins). Resolved values always nest in `optimizer`.
TrainOptions read_train_options(Reader& in, const TrainOptions& defaults);

}  // namespace expunge::config
