// ConvNeXt (Liu et al. 2022) as Hugging Face holds it: patches by convolution, stages of depthwise 7x7
// convolutions and perceptrons with a learned scale, norms over channels, a head on the mean over positions.
#include <array>
#include <vector>

#include "models/activations.hpp"
#include "models/config_json.hpp"
#include "models/descriptor.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/blocks.hpp"
#include "models/torch/recompute.hpp"
#include "models/torch/recorder.hpp"
#endif

namespace expunge::models {
namespace convnext {

constexpr double kInnerEps = 1e-6;  // of every norm but the last, whatever config.json says
constexpr std::int64_t kKernel = 7, kWiden = 4;

struct Sizes {
  std::int64_t channels, patch, classes;
  std::vector<std::int64_t> widths, depths;  // one value a stage
  bool scaled;                               // blocks have a learned scale
};

Sizes read_sizes(const nlohmann::json& config) {
  Sizes s{size_field(config, "num_channels", 3),
          size_field(config, "patch_size", 4),
          class_count(config),
          field(config, "hidden_sizes", std::vector<std::int64_t>{96, 192, 384, 768}),
          field(config, "depths", std::vector<std::int64_t>{3, 3, 9, 3}),
          field(config, "layer_scale_init_value", 1e-6) > 0};
  if (s.widths.empty() || s.widths.size() != s.depths.size())
    throw DataError::corrupt(
        fmt::format("config.json: {} hidden_sizes for {} depths", s.widths.size(), s.depths.size()));
  for (std::size_t i = 0; i < s.widths.size(); ++i)
    if (s.widths[i] < 1 || s.depths[i] < 1)
      throw DataError::corrupt(
          fmt::format("config.json: stage {} has width {} and depth {}", i, s.widths[i], s.depths[i]));
  return s;
}

#ifndef EXPUNGE_ENGINE

struct Registered {
  const char* name;
  std::array<std::int64_t, 4> widths, depths;
};
constexpr std::array<Registered, 4> kRegistered = {
    {{"convnext_tiny", {96, 192, 384, 768}, {3, 3, 9, 3}},
     {"convnext_small", {96, 192, 384, 768}, {3, 3, 27, 3}},
     {"convnext_base", {128, 256, 512, 1024}, {3, 3, 27, 3}},
     {"convnext_large", {192, 384, 768, 1536}, {3, 3, 27, 3}}}};

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  if (input.height < 32 || input.width < 32)
    throw ConfigError(fmt::format("{}: its stages make images 32 times smaller, {}x{} is too small", name,
                                  input.height, input.width));
  for (const auto& r : kRegistered) {
    if (name != r.name) continue;
    nlohmann::json c{{"architectures", {"ConvNextForImageClassification"}},
                     {"model_type", "convnext"},
                     {"num_channels", input.channels},
                     {"image_size", input.height},
                     {"patch_size", 4},
                     {"num_stages", 4},
                     {"hidden_sizes", r.widths},
                     {"depths", r.depths},
                     {"hidden_act", "gelu"},
                     {"initializer_range", 0.02},
                     {"layer_norm_eps", 1e-12},
                     {"layer_scale_init_value", 1e-6},
                     {"drop_path_rate", 0.0},
                     {"torch_dtype", "float32"}};
    add_labels(c, input.classes);
    return c;
  }
  throw InternalError("convnext: " + name + " is not registered");
}

std::int64_t parameters(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  std::int64_t total = s.widths[0] * (s.channels * s.patch * s.patch + 3), before = 0;
  for (std::size_t i = 0; i < s.widths.size(); ++i) {
    const std::int64_t d = s.widths[i];
    if (i > 0) total += 2 * before + d * (4 * before + 1);
    total += s.depths[i] *
             (d * (kKernel * kKernel + 1) + 2 * d + (2 * kWiden * d + kWiden + 1) * d + (s.scaled ? d : 0));
    before = d;
  }
  return total + 2 * before + (before + 1) * s.classes;
}

Cost cost(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Sizes s = read_sizes(config);
  std::int64_t h = height / s.patch, w = width / s.patch, before = 0;
  const double first = 2.0 * static_cast<double>(h * w * s.widths[0] * s.channels * s.patch * s.patch);
  double forward = first;
  for (std::size_t i = 0; i < s.widths.size(); ++i) {
    const std::int64_t d = s.widths[i];
    if (i > 0) {
      h /= 2, w /= 2;
      forward += 2.0 * static_cast<double>(h * w * 4 * before * d);
    }
    forward += 2.0 * static_cast<double>(s.depths[i] * h * w * (kKernel * kKernel * d + 2 * kWiden * d * d));
    before = d;
  }
  forward += 2.0 * static_cast<double>(before * s.classes);
  return {forward, 2 * forward - first};  // no gradient with respect to the image
}

// Of a block: its input, the norm's input and output, what the scale takes; before and behind the activation.
Activations activations(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Sizes s = read_sizes(config);
  std::int64_t h = height / s.patch, w = width / s.patch;
  Activations out;
  double most = 0;
  for (std::size_t i = 0; i < s.widths.size(); ++i) {
    if (i > 0) h /= 2, w /= 2;
    const auto map = static_cast<double>(h * w * s.widths[i]), depth = static_cast<double>(s.depths[i]);
    const double block = (s.scaled ? 4 : 3) * map + 2 * kWiden * map, between = 2 * map;
    out.kept += depth * block + between;
    out.recomputed += depth * map + between;
    out.moving = std::max(out.moving, (2 * kWiden + 3) * map);
    most = std::max(most, block);
  }
  out.recomputed += most;
  return out;
}

const RegisterDescriptor entry{
    {.family = "convnext",
     .model_type = "convnext",
     .summary = "ConvNeXt: depthwise 7x7 convolutions",
     .source = "Liu et al., CVPR 2022",
     .names = {"convnext_tiny", "convnext_small", "convnext_base", "convnext_large"},
     .config = make_config,
     .parameters = parameters,
     .cost = cost,
     .activations = activations}};

#else

struct Block {
  std::shared_ptr<Conv2d> depthwise;
  std::shared_ptr<LayerNorm> norm;
  std::shared_ptr<Linear> widen, narrow;
  torch::Tensor scale;  // undefined without one
  double drop_path;
};

struct Stage {
  std::shared_ptr<LayerNorm> norm;  // before the convolution that makes maps smaller; not in the first stage
  std::shared_ptr<Conv2d> smaller;
  std::vector<Block> blocks;
};

torch::Tensor channels_last(const torch::Tensor& x) { return x.permute({0, 2, 3, 1}); }
torch::Tensor channels_first(const torch::Tensor& x) { return x.permute({0, 3, 1, 2}); }

class ConvNext : public Model {
 public:
  explicit ConvNext(const nlohmann::json& config)
      : Model(config),
        sizes_(read_sizes(config)),
        activation_(activation_of(config, "hidden_act", "gelu")),
        deviation_(field(config, "initializer_range", 0.02)),
        initial_scale_(field(config, "layer_scale_init_value", 1e-6)),
        drop_path_(field(config, "drop_path_rate", 0.0)) {
    const Sizes& s = sizes_;
    if (!(drop_path_ >= 0 && drop_path_ < 1))
      throw DataError::corrupt(
          fmt::format("config.json: drop_path_rate is {}, expected 0 <= p < 1", drop_path_));
    patches_ = place(*this, "convnext.embeddings.patch_embeddings",
                     std::make_shared<Conv2d>(s.channels, s.widths[0], s.patch, s.patch, 0, true));
    patch_norm_ = norm("convnext.embeddings.layernorm", s.widths[0], kInnerEps);
    std::int64_t total = 0;
    for (auto depth : s.depths) total += depth;
    std::int64_t number = 0;
    for (std::size_t i = 0; i < s.widths.size(); ++i) {
      const std::string at = fmt::format("convnext.encoder.stages.{}.", i);
      Stage& stage = stages_.emplace_back();
      if (i > 0) {
        stage.norm = norm(at + "downsampling_layer.0", s.widths[i - 1], kInnerEps);
        stage.smaller = place(*this, at + "downsampling_layer.1",
                              std::make_shared<Conv2d>(s.widths[i - 1], s.widths[i], 2, 2, 0, true));
      }
      for (std::int64_t k = 0; k < s.depths[i];
           ++k, ++number) {  // rates rise evenly from 0 to the last block
        const double rate =
            total > 1 ? drop_path_ * static_cast<double>(number) / static_cast<double>(total - 1) : 0;
        stage.blocks.push_back(make_block(fmt::format("{}layers.{}", at, k), s.widths[i], rate));
      }
    }
    norm_ = norm("convnext.layernorm", s.widths.back(), field(config, "layer_norm_eps", 1e-12));
    head_ = place(*this, "classifier", std::make_shared<Linear>(s.widths.back(), s.classes));
  }

  Tensors forward(const Tensors& inputs) override {
    torch::Tensor x = over_channels(patch_norm_, patches_->forward(inputs.at("pixel_values")));
    std::size_t number = 0;
    for (const Stage& stage : stages_) {
      if (stage.smaller) x = stage.smaller->forward(over_channels(stage.norm, x));
      for (const Block& block : stage.blocks)
        x = recomputed(x.device(), [this, x, &block, site = fmt::format("block{}", number++)] {
          return x + drop_path(adapted(site, residual(block, x)), block.drop_path, is_training());
        });
    }
    const torch::Tensor pooled = norm_->forward(x.mean({2, 3}));
    return {
        {"logits", head_->forward(pooled)}, {"pooled", pooled}, {"features", x.flatten(2).transpose(1, 2)}};
  }

  void initialize(const Rng& rng) override {
    initialize_transformer(*this, rng, deviation_);
    const torch::NoGradGuard no_grad;
    for (Stage& stage : stages_)
      for (Block& block : stage.blocks)
        if (block.scale.defined()) block.scale.fill_(initial_scale_);
  }
  bool has_dropout() const override { return drop_path_ > 0; }
  std::string head_prefix() const override { return "classifier"; }
  std::string base_prefix() const override { return "convnext"; }
  std::vector<AdapterSite> adapter_sites() const override {
    std::vector<AdapterSite> out;
    for (const Stage& stage : stages_)
      for (const Block& block : stage.blocks)
        out.push_back({fmt::format("block{}", out.size()), block.narrow->weight.size(0)});
    return out;
  }
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override {
    return {{"hidden_act", field<std::string>(config, "hidden_act", "gelu")},
            {"layer_norm_eps", field(config, "layer_norm_eps", 1e-12)}};
  }

 private:
  std::shared_ptr<LayerNorm> norm(const std::string& name, std::int64_t width, double eps) {
    return place(*this, name, std::make_shared<LayerNorm>(width, eps));
  }

  Block make_block(const std::string& at, std::int64_t d, double rate) {
    Block b;
    if (sizes_.scaled)
      b.scale = container(*this, at).register_parameter("layer_scale_parameter", torch::ones({d}));
    b.depthwise =
        place(*this, at + ".dwconv", std::make_shared<Conv2d>(d, d, kKernel, 1, kKernel / 2, true, d));
    b.norm = norm(at + ".layernorm", d, kInnerEps);
    b.widen = place(*this, at + ".pwconv1", std::make_shared<Linear>(d, kWiden * d));
    b.narrow = place(*this, at + ".pwconv2", std::make_shared<Linear>(kWiden * d, d));
    b.drop_path = rate;
    return b;
  }

  static torch::Tensor over_channels(const std::shared_ptr<LayerNorm>& norm, const torch::Tensor& x) {
    return channels_first(norm->forward(channels_last(x)));
  }

  torch::Tensor residual(const Block& block, const torch::Tensor& x) const {
    const torch::Tensor wide =
        activation_(block.widen->forward(block.norm->forward(channels_last(block.depthwise->forward(x)))));
    torch::Tensor y = block.narrow->forward(wide);
    if (block.scale.defined()) {
      const torch::Tensor plain = y;
      y = plain * block.scale;
      if (Recorder* r = Recorder::active())
        r->uses.push_back({LayerUse::kScale, block.scale, {}, plain, y, plain.dim() - 1});
    }
    return channels_first(y);
  }

  Sizes sizes_;
  Activation activation_;
  double deviation_, initial_scale_, drop_path_;
  std::shared_ptr<Conv2d> patches_;
  std::shared_ptr<LayerNorm> patch_norm_, norm_;
  std::vector<Stage> stages_;
  std::shared_ptr<Linear> head_;
};

const RegisterBuilder builder{"convnext", [](const nlohmann::json& c) -> std::shared_ptr<Model> {
                                return std::make_shared<ConvNext>(c);
                              }};

#endif

}  // namespace convnext
}  // namespace expunge::models
