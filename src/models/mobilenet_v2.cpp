// MobileNetV2 (Sandler et al. 2018) as Hugging Face holds it: inverted residuals with depthwise convolutions
// and ReLU6, padded as TensorFlow pads, a head on the mean over positions. The momentum of its BatchNorms is
// 0.997 for the new value, so running statistics are nearly the last batch's.
#include <array>
#include <cmath>
#include <vector>

#include "models/activations.hpp"
#include "models/config_json.hpp"
#include "models/descriptor.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/blocks.hpp"
#include "models/torch/image_layout.hpp"
#endif

namespace expunge::models {
namespace mobilenet_v2 {

constexpr double kMomentum = 0.997;

struct Settings {
  std::int64_t channels, divisor, least, output_stride, classes;
  double multiplier, expansion;
  bool stem_is_expansion, fine_output;
};

Settings read_settings(const nlohmann::json& config) {
  Settings s{size_field(config, "num_channels", 3),
             size_field(config, "depth_divisible_by", 8),
             size_field(config, "min_depth", 8),
             size_field(config, "output_stride", 32),
             class_count(config),
             field(config, "depth_multiplier", 1.0),
             field(config, "expand_ratio", 6.0),
             field(config, "first_layer_is_expansion", true),
             field(config, "finegrained_output", true)};
  if (!(s.multiplier > 0 && s.multiplier <= 100 && s.expansion > 0 && s.expansion <= 100))
    throw DataError::corrupt(fmt::format(
        "config.json: depth_multiplier {} and expand_ratio {} must be above 0", s.multiplier, s.expansion));
  if (s.output_stride != 8 && s.output_stride != 16 && s.output_stride != 32)
    throw DataError::corrupt(
        fmt::format("config.json: output_stride is {}, expected 8, 16 or 32", s.output_stride));
  return s;
}

// The multiple of `divisor` next to value * factor, never below 90 % of it.
std::int64_t scaled(std::int64_t value, double factor, const Settings& s) {
  const auto target = static_cast<std::int64_t>(std::nearbyint(static_cast<double>(value) * factor));
  std::int64_t out = std::max(
      s.least, static_cast<std::int64_t>(static_cast<double>(target) + static_cast<double>(s.divisor) / 2) /
                   s.divisor * s.divisor);
  if (static_cast<double>(out) < 0.9 * static_cast<double>(target)) out += s.divisor;
  return out;
}

struct Convolution {
  std::string name;
  std::int64_t in, out, kernel = 1, stride = 1, dilation = 1, groups = 1;
  bool activated = true;
};

struct Block {
  std::vector<Convolution> convolutions;
  bool residual = false;
};

// From the image to the last map: stem, 16 inverted residuals, one convolution more.
std::vector<Block> blocks_of(const Settings& s) {
  constexpr std::array<std::int64_t, 17> kWidths = {16, 24, 24, 32, 32,  32,  64,  64, 64,
                                                    64, 96, 96, 96, 160, 160, 160, 320};
  constexpr std::array<std::int64_t, 16> kStrides = {2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1};
  const auto width = [&](std::int64_t channels) { return scaled(channels, s.multiplier, s); };
  std::vector<Block> out(1);
  const std::int64_t first = width(32);
  auto& stem = out[0].convolutions;
  const std::string root = "mobilenet_v2.conv_stem.";
  stem.push_back({root + "first_conv", s.channels, first, 3, 2});
  if (!s.stem_is_expansion) stem.push_back({root + "expand_1x1", first, first});
  stem.push_back({root + "conv_3x3", first, first, 3, 1, 1, first});
  stem.push_back({root + "reduce_1x1", first, width(kWidths[0]), 1, 1, 1, 1, false});
  std::int64_t reached = 2, dilation = 1;
  for (std::size_t i = 0; i < kStrides.size(); ++i) {
    const std::int64_t in = width(kWidths[i]), next = width(kWidths[i + 1]);
    const bool enough = reached == s.output_stride;  // dilated instead of made smaller
    const std::int64_t stride = enough ? 1 : kStrides[i], own_dilation = enough ? dilation : 1;
    if (enough)
      dilation *= kStrides[i];
    else
      reached *= stride;
    const std::int64_t wide = scaled(in, s.expansion, s);
    const std::string at = fmt::format("mobilenet_v2.layer.{}.", i);
    out.push_back({{{at + "expand_1x1", in, wide},
                    {at + "conv_3x3", wide, wide, 3, stride, own_dilation, wide},
                    {at + "reduce_1x1", wide, next, 1, 1, 1, 1, false}},
                   stride == 1 && in == next});
  }
  const std::int64_t last = s.fine_output && s.multiplier < 1 ? 1280 : width(1280);
  out.push_back({{{"mobilenet_v2.conv_1x1", width(kWidths.back()), last}}});
  return out;
}

#ifndef EXPUNGE_ENGINE

struct Registered {
  const char* name;
  double multiplier;
};
constexpr std::array<Registered, 4> kRegistered = {{{"mobilenet_v2_035", 0.35},
                                                    {"mobilenet_v2_075", 0.75},
                                                    {"mobilenet_v2", 1.0},
                                                    {"mobilenet_v2_140", 1.4}}};

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  for (const auto& r : kRegistered) {
    if (name != r.name) continue;
    nlohmann::json c{{"architectures", {"MobileNetV2ForImageClassification"}},
                     {"model_type", "mobilenet_v2"},
                     {"num_channels", input.channels},
                     {"image_size", input.height},
                     {"depth_multiplier", r.multiplier},
                     {"depth_divisible_by", 8},
                     {"min_depth", 8},
                     {"expand_ratio", 6.0},
                     {"output_stride", 32},
                     {"first_layer_is_expansion", true},
                     {"finegrained_output", true},
                     {"hidden_act", "relu6"},
                     {"tf_padding", true},
                     {"classifier_dropout_prob", 0.8},
                     {"initializer_range", 0.02},
                     {"layer_norm_eps", 0.001},
                     {"torch_dtype", "float32"}};
    add_labels(c, input.classes);
    return c;
  }
  throw InternalError("mobilenet_v2: " + name + " is not registered");
}

std::int64_t weights(const Convolution& c) { return c.in / c.groups * c.out * c.kernel * c.kernel; }

std::int64_t parameters(const nlohmann::json& config) {
  const Settings s = read_settings(config);
  const auto blocks = blocks_of(s);
  std::int64_t total = 0;
  for (const auto& b : blocks)
    for (const auto& c : b.convolutions) total += weights(c) + 2 * c.out;
  return total + (blocks.back().convolutions.back().out + 1) * s.classes;
}

Cost cost(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Settings s = read_settings(config);
  const auto blocks = blocks_of(s);
  double forward = 0, first = 0;
  for (const auto& b : blocks)
    for (const auto& c : b.convolutions) {  // either padding: rounded up
      height = (height + c.stride - 1) / c.stride, width = (width + c.stride - 1) / c.stride;
      const double flops = 2.0 * static_cast<double>(weights(c) * height * width);
      if (forward == 0) first = flops;
      forward += flops;
    }
  forward += 2.0 * static_cast<double>(blocks.back().convolutions.back().out * s.classes);
  return {forward, 2 * forward - first};  // no gradient with respect to the image
}

Activations activations(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  Maps maps;
  for (const auto& b : blocks_of(read_settings(config)))
    for (const auto& c : b.convolutions) {
      height = (height + c.stride - 1) / c.stride, width = (width + c.stride - 1) / c.stride;
      maps.add(static_cast<double>(c.out * height * width), c.activated ? 3 : 2);
    }
  return maps.done();
}

const RegisterDescriptor entry{
    {.family = "mobilenet_v2",
     .model_type = "mobilenet_v2",
     .summary = "MobileNetV2: inverted residuals",
     .source = "Sandler et al., CVPR 2018",
     .names = {"mobilenet_v2_035", "mobilenet_v2_075", "mobilenet_v2", "mobilenet_v2_140"},
     .config = make_config,
     .parameters = parameters,
     .cost = cost,
     .has_batch_norm = true,
     .activations = activations}};

#else

// As much padding as TensorFlow's "SAME" takes before a convolution; the odd one goes to the right and below.
std::int64_t same_padding(std::int64_t length, const Convolution& c) {
  const std::int64_t rest = length % c.stride;
  return std::max<std::int64_t>(c.kernel - (rest == 0 ? c.stride : rest), 0);
}

struct Layer {
  Convolution shape;
  std::shared_ptr<Conv2d> convolution;
  std::shared_ptr<BatchNorm> normalization;
};

class MobileNetV2 : public Model {
 public:
  explicit MobileNetV2(const nlohmann::json& config)
      : Model(config),
        activation_(activation_of(config, "hidden_act", "relu6")),
        tf_padding_(field(config, "tf_padding", true)),
        dropout_(field(config, "classifier_dropout_prob", 0.8)) {
    const Settings s = read_settings(config);
    const double eps = field(config, "layer_norm_eps", 0.001);
    for (const auto& b : blocks_of(s)) {
      auto& layers = blocks_.emplace_back();
      residual_.push_back(b.residual);
      for (const auto& c : b.convolutions)
        layers.push_back(
            {c,
             place(*this, c.name + ".convolution",
                   std::make_shared<Conv2d>(c.in, c.out, c.kernel, c.stride, c.kernel / 2 * c.dilation, false,
                                            c.groups, c.dilation)),
             place(*this, c.name + ".normalization", std::make_shared<BatchNorm>(c.out, eps, kMomentum))});
    }
    head_ = place(*this, "classifier", std::make_shared<Linear>(blocks_.back().back().shape.out, s.classes));
    adopt_batch_norms();
  }

  Tensors forward(const Tensors& inputs) override {
    torch::Tensor x = channels_innermost(inputs.at("pixel_values"));
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      torch::Tensor y = x;
      for (const auto& layer : blocks_[b]) {
        y = layer.normalization->forward(convolve(layer, y));
        if (layer.shape.activated) y = activation_(y);
      }
      x = residual_[b] ? x + y : y;
      x = adapted(fmt::format("block{}", b), x);
    }
    const torch::Tensor pooled = dropped(x.mean({2, 3}), dropout_, is_training());
    return {
        {"logits", head_->forward(pooled)}, {"pooled", pooled}, {"features", x.flatten(2).transpose(1, 2)}};
  }
  void initialize(const Rng& rng) override { initialize_convolutional(*this, rng); }
  bool has_dropout() const override { return dropout_ > 0; }
  std::string head_prefix() const override { return "classifier"; }
  std::vector<AdapterSite> adapter_sites() const override {
    std::vector<AdapterSite> out;
    for (std::size_t b = 0; b < blocks_.size(); ++b)
      out.push_back({fmt::format("block{}", b), blocks_[b].back().shape.out});
    return out;
  }
  std::string base_prefix() const override { return "mobilenet_v2"; }
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override {
    return {{"hidden_act", field<std::string>(config, "hidden_act", "relu6")},
            {"tf_padding", field(config, "tf_padding", true)},
            {"output_stride", read_settings(config).output_stride},
            {"layer_norm_eps", field(config, "layer_norm_eps", 0.001)}};
  }

 private:
  torch::Tensor convolve(const Layer& layer, const torch::Tensor& x) const {
    if (!tf_padding_) return layer.convolution->forward(x);
    const Convolution& c = layer.shape;
    const std::int64_t h = same_padding(x.size(2), c) * c.dilation,
                       w = same_padding(x.size(3), c) * c.dilation;
    if (h == w && h % 2 == 0) return layer.convolution->forward(x, h / 2);
    const std::int64_t top = same_padding(x.size(2), c) / 2 * c.dilation,
                       left = same_padding(x.size(3), c) / 2 * c.dilation;
    return layer.convolution->forward(at::constant_pad_nd(x, {left, w - left, top, h - top}), 0);
  }

  Activation activation_;
  bool tf_padding_;
  double dropout_;
  std::vector<std::vector<Layer> > blocks_;
  std::vector<bool> residual_;
  std::shared_ptr<Linear> head_;
};

const RegisterBuilder builder{"mobilenet_v2", [](const nlohmann::json& c) -> std::shared_ptr<Model> {
                                return std::make_shared<MobileNetV2>(c);
                              }};

#endif

}  // namespace mobilenet_v2
}  // namespace expunge::models
