// Optimisers on flat buffers: AdamW, Adam and SGD equal to torch.optim's to rounding, Sophia; learning-rate
// schedules; global-norm clipping.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "config/train_options.hpp"
#include "tensor/device_kernels.hpp"
#include "tensor/flat_parameters.hpp"

namespace expunge::tensor {

class Optimizer {
 public:
  // `kernels`: what takes the steps; null: this layer's loops on a processor, the plugin's kernels on a GPU.
  // They give the same bits.
  Optimizer(const config::OptimizerOptions& options, const FlatBuffer& layout,
            const DeviceKernels* kernels = nullptr);

  // One step on `parameters` (layout of the constructor) with the summed gradient [size]; `lr_factor` comes
  // from the schedule, `gradient_scale` from clipping.
  void step(FlatBuffer& parameters, const torch::Tensor& gradient, double lr_factor, double gradient_scale);
  // The same for elements [first, last) alone, which is all that is read or written. Steps on disjoint slices
  // give the same bits as one on all.
  void step_slice(FlatBuffer& parameters, const torch::Tensor& gradient, double lr_factor,
                  double gradient_scale, std::int64_t first, std::int64_t last);

  // State for checkpoints: flat float tensors by name ("m", "v", "h", "momentum") and the number of steps
  // taken. On the host, memory is taken for the slices that steps have written.
  const std::map<std::string, torch::Tensor>& state() const { return state_; }
  std::int64_t steps() const { return steps_; }
  void restore(std::map<std::string, torch::Tensor> state, std::int64_t steps);

 private:
  struct Slice {
    std::int64_t first, last;
    double lr, scale;
  };
  void host_step(FlatBuffer& parameters, const torch::Tensor& gradient, const Slice& slice);
  void device_step(FlatBuffer& parameters, const torch::Tensor& gradient, const Slice& slice);
  SgdStep sgd(double decay, const Slice& slice) const;
  SophiaStep sophia(double decay, const Slice& slice) const;
  AdamStep adam(double decay, const Slice& slice) const;
  float* slot(const char* name, std::int64_t at);  // element `at` of a state; null without it

  config::OptimizerOptions options_;
  std::map<std::string, torch::Tensor> state_;
  const DeviceKernels* kernels_;  // null: host_step
  torch::Tensor decays_;  // with kernels, a byte for kAlignment elements: 1 where weight decay applies
  std::int64_t steps_ = 0;
};

// Factor of the learning rate at `step` of `total` (both of the whole run); `epoch` (0-based) drives the step
// schedule. Linear: (total - step) / (total - warm-up steps), as Hugging Face's trainer.
double schedule_factor(const config::TrainOptions& options, std::int64_t step, std::int64_t total,
                       std::int64_t epoch);

// Euclidean norm of a flat gradient; the same bits for every number of ranks.
double gradient_norm(const torch::Tensor& flat);
// Its parts: sums of squares of the blocks of elements [first, last), kBlock (kernels.hpp) elements each but
// the last; `first` begins a block. Host memory.
std::vector<double> block_squares(const torch::Tensor& flat, std::int64_t first, std::int64_t last);
// The norm from the sums of all blocks, in order.
double norm_of_blocks(const std::vector<double>& squares);
// torch.nn.utils.clip_grad_norm_'s factor: min(1, clip / (norm + 1e-6)); 1 when clip is 0.
double clip_factor(double norm, double clip);

}  // namespace expunge::tensor
