// Optimisers on flat buffers: AdamW, Adam and SGD equal to torch.optim's to rounding, Sophia; learning-rate
// schedules; global-norm clipping.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "config/train_options.hpp"
#include "tensor/flat_parameters.hpp"

namespace expunge::tensor {

class Optimizer {
 public:
  Optimizer(const config::OptimizerOptions& options, const FlatBuffer& layout);

  // One step on `parameters` (layout of the constructor) with the summed gradient [size]; `lr_factor` comes
  // from the schedule, `gradient_scale` from clipping.
  void step(FlatBuffer& parameters, const torch::Tensor& gradient, double lr_factor, double gradient_scale);

  // State for checkpoints: flat float tensors by name ("m", "v", "h", "momentum") and the number of steps
  // taken.
  const std::map<std::string, torch::Tensor>& state() const { return state_; }
  std::int64_t steps() const { return steps_; }
  void restore(std::map<std::string, torch::Tensor> state, std::int64_t steps);

 private:
  void host_step(FlatBuffer& parameters, const torch::Tensor& gradient, double lr, double scale);
  void device_step(FlatBuffer& parameters, const torch::Tensor& gradient, double lr, double scale);

  config::OptimizerOptions options_;
  std::map<std::string, torch::Tensor> state_;
  torch::Tensor decay_mask_;  // devices only: 1 where weight decay applies
  std::int64_t steps_ = 0;
};

// Factor of the learning rate at `step` of `total` (both of the whole run); `epoch` (0-based) drives the step
// schedule. Linear: (total - step) / (total - warm-up steps), as Hugging Face's trainer.
double schedule_factor(const config::TrainOptions& options, std::int64_t step, std::int64_t total,
                       std::int64_t epoch);

// Euclidean norm of a flat gradient; the same bits for every number of ranks.
double gradient_norm(const torch::Tensor& flat);
// torch.nn.utils.clip_grad_norm_'s factor: min(1, clip / (norm + 1e-6)); 1 when clip is 0.
double clip_factor(double norm, double clip);

}  // namespace expunge::tensor
