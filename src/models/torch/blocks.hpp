// Building blocks of the families: thin modules over ATen, with the parameter names of Hugging Face.
#pragma once

#include "models/descriptor.hpp"
#include "models/torch/model.hpp"

namespace expunge::models {

// y = x W^T + b; weight [out, in], bias [out] unless switched off. With an adapter (Hu et al. 2022):
// + scale * dropout(x) A^T B^T, "lora_A" [rank, in], "lora_B" [out, rank].
class Linear : public torch::nn::Module {
 public:
  Linear(std::int64_t in, std::int64_t out, bool with_bias = true);
  // `shared`: x serves all samples alike, dimension 0 is not theirs.
  torch::Tensor forward(const torch::Tensor& x, bool shared = false);
  // A: U(+-1/sqrt(in)), keyed by (rng, element); B: 0, so that outputs stay what they were.
  void add_adapter(std::int64_t rank, double scale, double dropout, const Rng& rng);
  void merge_adapter();  // W <- W + scale * B A; the adapter's B becomes 0
  torch::Tensor weight, bias, lora_a, lora_b;

 private:
  double lora_scale_ = 1, lora_dropout_ = 0;
};

// Lays adapters beside the named linear layers. Before FlatParameters are made of the model.
void add_adapters(Model& model, const std::vector<Projection>& projections, std::int64_t rank, double alpha,
                  double dropout, const Rng& rng);

// Convolution over [n, C, H, W]; square kernel.
class Conv2d : public torch::nn::Module {
 public:
  Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
         bool with_bias, std::int64_t groups = 1, std::int64_t dilation = 1);
  torch::Tensor forward(const torch::Tensor& x) { return forward(x, padding_); }
  torch::Tensor forward(const torch::Tensor& x, std::int64_t padding);  // another padding than its own
  torch::Tensor weight, bias;

 private:
  std::int64_t stride_, padding_, groups_, dilation_;
};

// Rows of a table [count, width]; ids are int64. The row of `padding` (if >= 0) starts at 0 and gets no
// gradient, as torch.nn.Embedding has it.
class Embedding : public torch::nn::Module {
 public:
  Embedding(std::int64_t count, std::int64_t width, std::int64_t padding = -1);
  torch::Tensor forward(const torch::Tensor& ids);
  torch::Tensor weight;
  const std::int64_t padding;
};

class LayerNorm : public torch::nn::Module {
 public:
  LayerNorm(std::int64_t width, double eps);
  torch::Tensor forward(const torch::Tensor& x);
  torch::Tensor weight, bias;

 private:
  double eps_;
};

// x / sqrt(mean(x^2) + eps) * weight over the last dimension, normalised in float (Zhang and Sennrich 2019).
class RmsNorm : public torch::nn::Module {
 public:
  RmsNorm(std::int64_t width, double eps);
  torch::Tensor forward(const torch::Tensor& x);
  torch::Tensor weight;

 private:
  double eps_;
};

// x + up(relu(down(x))), on channels; `up` starts at 0 (Houlsby et al. 2019).
class Adapter : public Insertion {
 public:
  Adapter(std::int64_t channels, std::int64_t width, const Rng& rng);
  torch::Tensor forward(const torch::Tensor& x, const Tensors&) override;  // [n, C, H, W] or [n, ..., C]

 private:
  std::shared_ptr<Linear> down_, up_;
};

// Dropout of elements, and of whole samples (DropPath: Huang et al. 2016), drawn from the default generator,
// which is seeded anew for each grain. x itself outside training and at p = 0.
torch::Tensor dropped(const torch::Tensor& x, double p, bool training);
torch::Tensor drop_path(const torch::Tensor& x, double p, bool training);

using Activation = torch::Tensor (*)(const torch::Tensor&);
// The function that config.json's `key` names: relu, relu6, gelu (erf), gelu_new and gelu_pytorch_tanh
// (tanh), quick_gelu, silu, tanh. DataError 65 for an unknown one.
Activation activation_of(const nlohmann::json& config, const std::string& key, const std::string& fallback);

// Modules under dotted names, so that a family is written with the tensor names of its files: the containers
// in between are created.
torch::nn::Module& container(torch::nn::Module& root, const std::string& dotted);
template <class M>
std::shared_ptr<M> place(torch::nn::Module& root, const std::string& dotted, std::shared_ptr<M> module) {
  const auto dot = dotted.rfind('.');
  torch::nn::Module& parent = dot == std::string::npos ? root : container(root, dotted.substr(0, dot));
  return parent.register_module(dot == std::string::npos ? dotted : dotted.substr(dot + 1),
                                std::move(module));
}

// Fills, element by element, keyed by (rng, tensor name, element index).
void fill_normal(torch::Tensor t, const Rng& rng, double deviation);
// Drawn again outside [-2, 2], as torch.nn.init.trunc_normal_: the cut is absolute, so it hardly ever acts on
// small deviations.
void fill_truncated_normal(torch::Tensor t, const Rng& rng, double deviation);
void fill_uniform(torch::Tensor t, const Rng& rng, double bound);  // [-bound, bound)
// He et al. 2015: normal with deviation sqrt(2 / (out_channels * kernel^2)).
void fill_kaiming_fan_out(torch::Tensor weight, const Rng& rng);

// The convolutional networks' initialiser: convolutions kaiming, norms 1 and 0, linear layers U(+-1/sqrt(fan
// in)), statistics 0 and 1.
void initialize_convolutional(Model& model, const Rng& rng);
// The transformers': matrices, convolutions, embeddings and tokens truncated normal, rows of padding and
// biases 0, norms 1 and 0.
void initialize_transformer(Model& model, const Rng& rng, double deviation);

}  // namespace expunge::models
