// A module's parameters and float buffers, moved into flat buffers: optimiser, clipping, hashing, reduction
// and checkpointing are operations on one tensor. Every tensor starts on a 64-byte boundary; the padding is
// zero and is never counted, drawn, ranked or hashed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tensor/gradient_sink.hpp"
#include "tensor/torch.hpp"

namespace expunge::tensor {

inline constexpr std::int64_t kAlignment = 16;  // floats: 64 bytes

struct FlatEntry {
  std::string name;
  std::int64_t offset = 0, numel = 0;
  std::vector<std::int64_t> shape;
  bool decays = true;  // weight decay applies
};

// One flat buffer: `values` [size], float; `entries` in order of registration.
struct FlatBuffer {
  torch::Tensor values;
  std::vector<FlatEntry> entries;
  std::int64_t size() const { return values.defined() ? values.numel() : 0; }
  std::int64_t numel() const;  // without padding
  torch::Tensor view(std::size_t entry) const { return view_of(values, entry); }
  torch::Tensor view_of(const torch::Tensor& flat,
                        std::size_t entry) const;  // the entry's window of another buffer of this layout
};

class FlatParameters {
 public:
  // Re-points every parameter and float buffer of `module` into flat buffers on `device`. `trainable(name)`
  // decides which parameters get gradients; the others lose requires_grad. `decay`: all | matrices | trainer
  // (config/train_options.hpp).
  FlatParameters(torch::nn::Module& module, torch::Device device,
                 const std::function<bool(const std::string&)>& trainable, const std::string& decay);

  FlatBuffer trainable, frozen, buffers;

  // Points the trainable parameters' gradients into `gradient` [trainable.size()], which must hold zeros or
  // partial sums.
  void bind_gradients(const torch::Tensor& gradient);
  // The trainable parameters, one for each entry.
  const std::vector<torch::Tensor>& parameters() const { return trainable_parameters_; }
  // Where backward passes write the trainable parameters' gradients while it is open.
  GradientSink& sink() { return *sink_; }

  // XXH3-128 over names, shapes and bytes of all parameters and float buffers, in order of registration.
  std::string hash() const;

 private:
  std::vector<torch::Tensor> trainable_parameters_;
  torch::Tensor bound_;
  std::unique_ptr<GradientSink> sink_;
};

// Copies all three buffers. Layouts must agree.
void copy_values(const FlatParameters& from, FlatParameters& into);

}  // namespace expunge::tensor
