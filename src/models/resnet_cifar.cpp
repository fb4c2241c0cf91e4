// ResNet in the CIFAR form (He et al. 2016, section 4.2): depth n = 6k + 2, a 3x3 convolution to 16 channels,
// three stages of k basic blocks with 16, 32, 64 channels, stride 2 at the start of stages 2 and 3, identity
// shortcuts by subsampling and zero-padded channels (option A), BatchNorm, global average pooling, linear
// head. Tensor names are those of the published CIFAR checkpoints (conv1, bn1, layer1.0.conv1 ..., linear),
// so these load as they are.
#include <array>

#include "models/activations.hpp"
#include "models/config_json.hpp"
#include "models/descriptor.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/blocks.hpp"
#include "models/torch/image_layout.hpp"
#endif

namespace expunge::models {
namespace resnet_cifar {

constexpr std::array<std::int64_t, 3> kWidths = {16, 32, 64};

// Basic blocks of a stage.
std::int64_t blocks_of(const nlohmann::json& config) {
  const std::int64_t depth = size_field(config, "depth", 20);
  if (depth < 8 || (depth - 2) % 6 != 0)
    throw DataError::corrupt(fmt::format("config.json: depth is {}, expected 6k + 2 with k >= 1", depth));
  return (depth - 2) / 6;
}

#ifndef EXPUNGE_ENGINE

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  nlohmann::json c{{"architectures", {"ResNetCifarForImageClassification"}},
                   {"model_type", "expunge_resnet_cifar"},
                   {"depth", std::stoll(name.substr(6))},
                   {"num_channels", input.channels},
                   {"image_size", input.height},
                   {"torch_dtype", "float32"}};
  add_labels(c, input.classes);
  return c;
}

// Calls visit(in, out, kernel, out_height, out_width) for every convolution.
template <class Visit>
void each_convolution(const nlohmann::json& config, std::int64_t height, std::int64_t width, Visit&& visit) {
  std::int64_t in = size_field(config, "num_channels", 3);
  visit(in, kWidths[0], 3, height, width);
  in = kWidths[0];
  for (std::size_t stage = 0; stage < kWidths.size(); ++stage)
    for (std::int64_t block = 0; block < blocks_of(config); ++block) {
      if (stage > 0 && block == 0) height = (height + 1) / 2, width = (width + 1) / 2;
      visit(in, kWidths[stage], 3, height, width);
      visit(kWidths[stage], kWidths[stage], 3, height, width);
      in = kWidths[stage];
    }
}

std::int64_t parameters(const nlohmann::json& config) {
  std::int64_t total = 0;
  each_convolution(config, 32, 32, [&](auto in, auto out, auto kernel, auto, auto) {
    total += in * out * kernel * kernel + 2 * out;
  });
  return total + (kWidths.back() + 1) * class_count(config);
}

Cost cost(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  Cost c;
  double first = -1;
  each_convolution(config, height, width, [&](auto in, auto out, auto kernel, auto h, auto w) {
    const double flops = 2.0 * static_cast<double>(in * out * kernel * kernel * h * w);
    if (first < 0) first = flops;
    c.forward += flops;
  });
  c.forward += 2.0 * static_cast<double>(kWidths.back() * class_count(config));
  c.backward = 2 * c.forward - first;  // no gradient with respect to the image
  return c;
}

Activations activations(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  Maps maps;
  each_convolution(config, height, width, [&](auto, auto out, auto, auto h, auto w) {
    maps.add(static_cast<double>(out * h * w), 2);
  });
  return maps.done();
}

const RegisterDescriptor entry{{.family = "resnet_cifar",
                                .model_type = "expunge_resnet_cifar",
                                .summary = "ResNet for small images: three stages of 16, 32, 64 channels",
                                .source = "He et al., CVPR 2016, section 4.2",
                                .names = {"resnet8", "resnet20", "resnet32", "resnet44", "resnet56"},
                                .config = make_config,
                                .parameters = parameters,
                                .cost = cost,
                                .has_batch_norm = true,
                                .activations = activations}};

#else

class Block : public torch::nn::Module {
 public:
  Block(std::int64_t in, std::int64_t out, std::int64_t stride) : in_(in), out_(out), stride_(stride) {
    conv1_ = register_module("conv1", std::make_shared<Conv2d>(in, out, 3, stride, 1, false));
    bn1_ = register_module("bn1", std::make_shared<BatchNorm>(out, 1e-5, 0.1));
    conv2_ = register_module("conv2", std::make_shared<Conv2d>(out, out, 3, 1, 1, false));
    bn2_ = register_module("bn2", std::make_shared<BatchNorm>(out, 1e-5, 0.1));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    const torch::Tensor y = bn2_->forward(conv2_->forward(at::relu(bn1_->forward(conv1_->forward(x)))));
    return at::relu(y + shortcut(x));
  }

 private:
  torch::Tensor shortcut(torch::Tensor x) const {
    if (stride_ != 1) x = x.slice(2, 0, x.size(2), stride_).slice(3, 0, x.size(3), stride_);
    const std::int64_t pad = (out_ - in_) / 2;  // zero channels on both sides
    return pad > 0 ? at::constant_pad_nd(x, {0, 0, 0, 0, pad, out_ - in_ - pad}) : x;
  }

  std::int64_t in_, out_, stride_;
  std::shared_ptr<Conv2d> conv1_, conv2_;
  std::shared_ptr<BatchNorm> bn1_, bn2_;
};

class Stage : public torch::nn::Module {
 public:
  Stage(std::int64_t in, std::int64_t out, std::int64_t stride, std::int64_t blocks) {
    for (std::int64_t b = 0; b < blocks; ++b)
      blocks_.push_back(register_module(
          std::to_string(b), std::make_shared<Block>(b == 0 ? in : out, out, b == 0 ? stride : 1)));
  }
  torch::Tensor forward(torch::Tensor x) {
    for (auto& block : blocks_) x = block->forward(x);
    return x;
  }

 private:
  std::vector<std::shared_ptr<Block> > blocks_;
};

class ResNetCifar : public Model {
 public:
  explicit ResNetCifar(const nlohmann::json& config) : Model(config) {
    const std::int64_t blocks = blocks_of(config), channels = size_field(config, "num_channels", 3);
    conv1_ = register_module("conv1", std::make_shared<Conv2d>(channels, kWidths[0], 3, 1, 1, false));
    bn1_ = register_module("bn1", std::make_shared<BatchNorm>(kWidths[0], 1e-5, 0.1));
    for (std::size_t s = 0; s < kWidths.size(); ++s)
      stages_.push_back(register_module(
          "layer" + std::to_string(s + 1),
          std::make_shared<Stage>(kWidths[s == 0 ? 0 : s - 1], kWidths[s], s == 0 ? 1 : 2, blocks)));
    linear_ = register_module("linear", std::make_shared<Linear>(kWidths.back(), class_count(config)));
    adopt_batch_norms();
  }

  Tensors forward(const Tensors& inputs) override {
    torch::Tensor x = at::relu(bn1_->forward(conv1_->forward(channels_innermost(inputs.at("pixel_values")))));
    for (std::size_t s = 0; s < stages_.size(); ++s)
      x = adapted(fmt::format("stage{}", s + 1), stages_[s]->forward(x));
    const torch::Tensor pooled = x.mean({2, 3});
    return {
        {"logits", linear_->forward(pooled)}, {"pooled", pooled}, {"features", x.flatten(2).transpose(1, 2)}};
  }
  std::string head_prefix() const override { return "linear"; }
  std::vector<AdapterSite> adapter_sites() const override {
    return {{"stage1", kWidths[0]}, {"stage2", kWidths[1]}, {"stage3", kWidths[2]}};
  }

  void initialize(const Rng& rng) override { initialize_convolutional(*this, rng); }

 private:
  std::shared_ptr<Conv2d> conv1_;
  std::shared_ptr<BatchNorm> bn1_;
  std::vector<std::shared_ptr<Stage> > stages_;
  std::shared_ptr<Linear> linear_;
};

const RegisterBuilder builder{"expunge_resnet_cifar", [](const nlohmann::json& c) -> std::shared_ptr<Model> {
                                return std::make_shared<ResNetCifar>(c);
                              }};

#endif

}  // namespace resnet_cifar
}  // namespace expunge::models
