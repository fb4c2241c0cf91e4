// ResNet as Hugging Face holds it (v1.5: the stride of a bottleneck sits on its 3x3 convolution): 7x7 stem
// with stride 2, max pooling, four stages of basic or bottleneck blocks with projected shortcuts, global
// average pooling, linear head.
#include <vector>

#include "models/activations.hpp"
#include "models/config_json.hpp"
#include "models/descriptor.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/blocks.hpp"
#include "models/torch/image_layout.hpp"
#endif

namespace expunge::models {
namespace resnet {

constexpr std::int64_t kReduction = 4;  // of channels inside a bottleneck

struct Sizes {
  std::int64_t channels, stem, classes;
  std::vector<std::int64_t> widths, depths;  // one value a stage
  bool bottleneck, stride_in_first_stage, stride_on_first_convolution;
};

Sizes read_sizes(const nlohmann::json& config) {
  Sizes s{size_field(config, "num_channels", 3),
          size_field(config, "embedding_size", 64),
          class_count(config),
          field(config, "hidden_sizes", std::vector<std::int64_t>{256, 512, 1024, 2048}),
          field(config, "depths", std::vector<std::int64_t>{3, 4, 6, 3}),
          true,
          field(config, "downsample_in_first_stage", false),
          field(config, "downsample_in_bottleneck", false)};
  const auto kind = field<std::string>(config, "layer_type", "bottleneck");
  if (kind != "basic" && kind != "bottleneck")
    throw DataError::corrupt(
        fmt::format("config.json: layer_type is \"{}\", expected \"basic\" or \"bottleneck\"", kind));
  s.bottleneck = kind == "bottleneck";
  if (s.widths.empty() || s.widths.size() != s.depths.size())
    throw DataError::corrupt(
        fmt::format("config.json: {} hidden_sizes for {} depths", s.widths.size(), s.depths.size()));
  for (std::size_t i = 0; i < s.widths.size(); ++i)
    if (s.widths[i] < 1 || s.depths[i] < 1 || (s.bottleneck && s.widths[i] < kReduction))
      throw DataError::corrupt(
          fmt::format("config.json: stage {} has width {} and depth {}", i, s.widths[i], s.depths[i]));
  return s;
}

struct Convolution {
  std::int64_t in, out, kernel, stride;
};

struct Block {
  std::string name;  // "stages.0.layers.1"
  std::vector<Convolution> convolutions;
  bool has_shortcut;
  Convolution shortcut;
};

std::vector<Block> blocks_of(const Sizes& s) {
  std::vector<Block> out;
  std::int64_t in = s.stem;
  for (std::size_t stage = 0; stage < s.widths.size(); ++stage)
    for (std::int64_t layer = 0; layer < s.depths[stage]; ++layer) {
      const std::int64_t width = s.widths[stage], inner = width / kReduction;
      const std::int64_t stride = layer == 0 && (stage > 0 || s.stride_in_first_stage) ? 2 : 1;
      Block b{fmt::format("stages.{}.layers.{}", stage, layer),
              {},
              in != width || stride != 1,
              {in, width, 1, stride}};
      const bool early = s.stride_on_first_convolution;
      if (s.bottleneck)
        b.convolutions = {
            {in, inner, 1, early ? stride : 1}, {inner, inner, 3, early ? 1 : stride}, {inner, width, 1, 1}};
      else
        b.convolutions = {{in, width, 3, stride}, {width, width, 3, 1}};
      out.push_back(b);
      in = width;
    }
  return out;
}

#ifndef EXPUNGE_ENGINE

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  const bool deep = name == "resnet50";
  nlohmann::json c{{"architectures", {"ResNetForImageClassification"}},
                   {"model_type", "resnet"},
                   {"num_channels", input.channels},
                   {"embedding_size", 64},
                   {"layer_type", deep ? "bottleneck" : "basic"},
                   {"hidden_act", "relu"},
                   {"downsample_in_first_stage", false},
                   {"downsample_in_bottleneck", false},
                   {"torch_dtype", "float32"}};
  c["hidden_sizes"] = deep ? std::vector{256, 512, 1024, 2048} : std::vector{64, 128, 256, 512};
  c["depths"] = name == "resnet18" ? std::vector{2, 2, 2, 2} : std::vector{3, 4, 6, 3};
  add_labels(c, input.classes);
  return c;
}

std::int64_t weights(const Convolution& c) { return c.in * c.out * c.kernel * c.kernel; }

std::int64_t parameters(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  const auto with_norm = [](const Convolution& c) { return weights(c) + 2 * c.out; };
  std::int64_t total = with_norm({s.channels, s.stem, 7, 2});
  for (const auto& b : blocks_of(s)) {
    for (const auto& c : b.convolutions) total += with_norm(c);
    if (b.has_shortcut) total += with_norm(b.shortcut);
  }
  return total + (s.widths.back() + 1) * s.classes;
}

std::int64_t halved(std::int64_t length, std::int64_t stride) { return (length + stride - 1) / stride; }

Cost cost(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Sizes s = read_sizes(config);
  const auto flops = [](const Convolution& c, std::int64_t h, std::int64_t w) {
    return 2.0 * static_cast<double>(weights(c) * h * w);
  };
  std::int64_t h = halved(height, 2), w = halved(width, 2);
  const double first = flops({s.channels, s.stem, 7, 2}, h, w);
  double forward = first;
  h = halved(h, 2), w = halved(w, 2);  // max pooling
  for (const auto& b : blocks_of(s)) {
    const std::int64_t stride = b.shortcut.stride, out_h = halved(h, stride), out_w = halved(w, stride);
    if (b.has_shortcut) forward += flops(b.shortcut, out_h, out_w);
    for (const auto& c : b.convolutions) {
      h = halved(h, c.stride), w = halved(w, c.stride);
      forward += flops(c, h, w);
    }
  }
  forward += 2.0 * static_cast<double>(s.widths.back() * s.classes);
  return {forward, 2 * forward - first};  // no gradient with respect to the image
}

Activations activations(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Sizes s = read_sizes(config);
  Maps maps;
  const auto numbers = [](std::int64_t channels, std::int64_t h, std::int64_t w) {
    return static_cast<double>(channels * h * w);
  };
  std::int64_t h = halved(height, 2), w = halved(width, 2);
  maps.add(numbers(s.stem, h, w), 2);
  h = halved(h, 2), w = halved(w, 2);
  maps.add(numbers(s.stem, h, w), 3);  // pooled, and where each maximum was
  for (const auto& b : blocks_of(s)) {
    const std::int64_t stride = b.shortcut.stride;
    if (b.has_shortcut) maps.add(numbers(b.shortcut.out, halved(h, stride), halved(w, stride)), 1);
    for (const auto& c : b.convolutions) {
      h = halved(h, c.stride), w = halved(w, c.stride);
      maps.add(numbers(c.out, h, w), 2);
    }
  }
  return maps.done();
}

const RegisterDescriptor entry{{.family = "resnet",
                                .model_type = "resnet",
                                .summary = "ResNet v1.5, 7x7 stem with stride 2",
                                .source = "He et al., CVPR 2016",
                                .names = {"resnet18", "resnet34", "resnet50"},
                                .config = make_config,
                                .parameters = parameters,
                                .cost = cost,
                                .has_batch_norm = true,
                                .activations = activations}};

#else

// Pixels of an image from which on channels lie innermost.
constexpr std::int64_t kChannelsInnermostFrom = 96 * 96;

struct ConvolutionAndNorm {
  std::shared_ptr<Conv2d> convolution;
  std::shared_ptr<BatchNorm> normalization;
  torch::Tensor operator()(const torch::Tensor& x) const {
    return normalization->forward(convolution->forward(x));
  }
};

ConvolutionAndNorm place_pair(torch::nn::Module& root, const std::string& name, const Convolution& c) {
  return {place(root, name + ".convolution",
                std::make_shared<Conv2d>(c.in, c.out, c.kernel, c.stride, c.kernel / 2, false)),
          place(root, name + ".normalization", std::make_shared<BatchNorm>(c.out, 1e-5, 0.1))};
}

struct Residual {
  std::string name;
  std::vector<ConvolutionAndNorm> layers;
  std::optional<ConvolutionAndNorm> shortcut;
};

class ResNet : public Model {
 public:
  explicit ResNet(const nlohmann::json& config)
      : Model(config), activation_(activation_of(config, "hidden_act", "relu")) {
    const Sizes s = read_sizes(config);
    stem_ = place_pair(*this, "resnet.embedder.embedder", {s.channels, s.stem, 7, 2});
    for (const auto& b : blocks_of(s)) {
      Residual& r = blocks_.emplace_back();
      r.name = fmt::format("block{}", blocks_.size());
      const std::string name = "resnet.encoder." + b.name;
      if (b.has_shortcut) r.shortcut = place_pair(*this, name + ".shortcut", b.shortcut);
      for (const auto& c : b.convolutions)
        r.layers.push_back(place_pair(*this, fmt::format("{}.layer.{}", name, r.layers.size()), c));
    }
    head_ = place(*this, "classifier.1", std::make_shared<Linear>(s.widths.back(), s.classes));
    adopt_batch_norms();
  }

  Tensors forward(const Tensors& inputs) override {
    torch::Tensor x = inputs.at("pixel_values");
    // Small images would lose more to reordering the weights for each pass than they gain.
    if (x.size(2) * x.size(3) >= kChannelsInnermostFrom) x = channels_innermost(x);
    x = activation_(stem_(x));
    x = at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1});
    for (const auto& block : blocks_) {
      torch::Tensor y = x;
      for (std::size_t i = 0; i < block.layers.size(); ++i) {
        y = block.layers[i](y);
        if (i + 1 < block.layers.size()) y = activation_(y);
      }
      x = activation_(y + (block.shortcut ? (*block.shortcut)(x) : x));
      x = adapted(block.name, x);
    }
    const torch::Tensor pooled = x.mean({2, 3});
    return {
        {"logits", head_->forward(pooled)}, {"pooled", pooled}, {"features", x.flatten(2).transpose(1, 2)}};
  }
  std::string head_prefix() const override { return "classifier.1"; }
  std::vector<AdapterSite> adapter_sites() const override {
    std::vector<AdapterSite> out;
    for (const auto& block : blocks_)
      out.push_back({block.name, block.layers.back().normalization->weight.numel()});
    return out;
  }

  void initialize(const Rng& rng) override { initialize_convolutional(*this, rng); }
  std::string base_prefix() const override { return "resnet"; }
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override {
    const Sizes s = read_sizes(config);
    return {{"hidden_act", field<std::string>(config, "hidden_act", "relu")},
            {"downsample_in_first_stage", s.stride_in_first_stage},
            {"downsample_in_bottleneck", s.bottleneck && s.stride_on_first_convolution}};
  }

 private:
  Activation activation_;
  ConvolutionAndNorm stem_;
  std::vector<Residual> blocks_;
  std::shared_ptr<Linear> head_;
};

const RegisterBuilder builder{
    "resnet", [](const nlohmann::json& c) -> std::shared_ptr<Model> { return std::make_shared<ResNet>(c); }};

#endif

}  // namespace resnet
}  // namespace expunge::models
