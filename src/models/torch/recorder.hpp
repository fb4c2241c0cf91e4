// Notes how layers are used in a forward pass: what per-sample gradients and unit selection are computed
// from. Building blocks report to the recorder that lives on their thread, if there is one.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/torch.hpp"

namespace expunge::models {

// One use of a layer on a batch; dimension 0 of input and output are the samples.
struct LayerUse {
  enum Kind {
    kLinear,       // input [n, ..., in], output [n, ..., out]
    kConvolution,  // input [n, C, H, W], output [n, O, H', W']
    kEmbedding,    // input ids [n, ...], output [n, ..., width]; the row `dim` (if >= 0) gets no gradient
    kScale,        // output = input * weight + bias; input is the normalised one, channels at `dim`
    kBroadcast,    // output [n, ...] is the weight [1, ...], once for each sample
    kShared        // one output for all samples: their gradients cannot be told apart here
  };
  Kind kind;
  torch::Tensor weight, bias;  // bias may be undefined
  torch::Tensor input, output;
  std::int64_t dim = -1, stride = 1, padding = 0, dilation = 1, groups = 1;
};

class Recorder {
 public:
  Recorder() : outer_(active_) { active_ = this; }
  ~Recorder() { active_ = outer_; }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  static Recorder* active() { return active_; }

  std::vector<LayerUse> uses;

 private:
  Recorder* outer_;
  static thread_local Recorder* active_;
};

// A parameter [1, ...] as [n, ...].
torch::Tensor broadcast(const torch::Tensor& parameter, std::int64_t n);

}  // namespace expunge::models
