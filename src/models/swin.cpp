// Swin transformer (Liu et al. 2021) as Hugging Face holds it: attention inside windows that every other
// block shifts, learned biases of relative positions, neighbouring patches merged between stages, a head on
// the mean over positions. DropPath has the same rate in every block, on the attention's branch.
#include <array>
#include <vector>

#include "models/activations.hpp"
#include "models/config_json.hpp"
#include "models/descriptor.hpp"
#include "models/transformer_cost.hpp"
#ifdef EXPUNGE_ENGINE
#include <map>

#include "models/torch/attention.hpp"
#include "models/torch/blocks.hpp"
#include "models/torch/recompute.hpp"
#include "models/torch/windows.hpp"
#endif

namespace expunge::models {
namespace swin {

struct Sizes {
  std::int64_t channels, patch, embedding, window, classes;
  std::vector<std::int64_t> depths, heads;  // one value a stage
  double mlp_ratio;
  bool qkv_bias;

  std::int64_t width(std::size_t stage) const { return embedding << stage; }
  std::int64_t inner(std::size_t stage) const {
    return static_cast<std::int64_t>(mlp_ratio * static_cast<double>(width(stage)));
  }
};

Sizes read_sizes(const nlohmann::json& config) {
  Sizes s{size_field(config, "num_channels", 3),
          size_field(config, "patch_size", 4),
          size_field(config, "embed_dim", 96),
          size_field(config, "window_size", 7),
          class_count(config),
          field(config, "depths", std::vector<std::int64_t>{2, 2, 6, 2}),
          field(config, "num_heads", std::vector<std::int64_t>{3, 6, 12, 24}),
          field(config, "mlp_ratio", 4.0),
          field(config, "qkv_bias", true)};
  if (s.depths.empty() || s.depths.size() > 20 || s.depths.size() != s.heads.size())
    throw DataError::corrupt(
        fmt::format("config.json: {} depths for {} num_heads", s.depths.size(), s.heads.size()));
  for (std::size_t i = 0; i < s.depths.size(); ++i)
    if (s.depths[i] < 1 || s.heads[i] < 1 || s.width(i) % s.heads[i] != 0)
      throw DataError::corrupt(fmt::format("config.json: stage {} has depth {}, width {} and {} heads", i,
                                           s.depths[i], s.width(i), s.heads[i]));
  if (!(s.mlp_ratio > 0 && s.mlp_ratio <= 1024))
    throw DataError::corrupt(fmt::format("config.json: mlp_ratio is {}", s.mlp_ratio));
  if (field(config, "use_absolute_embeddings", false))
    throw DataError::corrupt("config.json: use_absolute_embeddings is true, which is not supported");
  return s;
}

std::int64_t up_to(std::int64_t length, std::int64_t multiple) {
  return (length + multiple - 1) / multiple * multiple;
}

// Windows of a stage's map: the smaller side where that is below the window, and then no shift.
struct Map {
  std::int64_t height, width, window;
  bool shifts;
  std::int64_t padded_height() const { return up_to(height, window); }
  std::int64_t padded_width() const { return up_to(width, window); }
};

Map map_of(std::int64_t height, std::int64_t width, const Sizes& s) {
  const std::int64_t side = std::min(height, width);
  return {height, width, std::min(side, s.window), side > s.window};
}

// The maps of all stages for an image; a map smaller than the window has no table of biases.
std::vector<Map> maps_of(std::int64_t height, std::int64_t width, const Sizes& s) {
  std::vector<Map> out;
  std::int64_t h = up_to(height, s.patch) / s.patch, w = up_to(width, s.patch) / s.patch;
  for (std::size_t i = 0; i < s.depths.size(); ++i, h = (h + 1) / 2, w = (w + 1) / 2) {
    out.push_back(map_of(h, w, s));
    if (out.back().window < s.window)
      throw ConfigError(
          fmt::format("images of {}x{} leave {}x{} patches in stage {}, its windows have {}x{}; "
                      "larger images or a smaller window_size are needed",
                      height, width, h, w, i + 1, s.window, s.window));
  }
  return out;
}

#ifndef EXPUNGE_ENGINE

struct Registered {
  const char* name;
  std::int64_t embedding;
  std::array<std::int64_t, 4> depths, heads;
};
constexpr std::array<Registered, 4> kRegistered = {{{"swin_tiny", 96, {2, 2, 6, 2}, {3, 6, 12, 24}},
                                                    {"swin_small", 96, {2, 2, 18, 2}, {3, 6, 12, 24}},
                                                    {"swin_base", 128, {2, 2, 18, 2}, {4, 8, 16, 32}},
                                                    {"swin_large", 192, {2, 2, 18, 2}, {6, 12, 24, 48}}}};

nlohmann::json make_config(const std::string& name, const InputShape& input) {
  for (const auto& r : kRegistered) {
    if (name != r.name) continue;
    nlohmann::json c{{"architectures", {"SwinForImageClassification"}},
                     {"model_type", "swin"},
                     {"num_channels", input.channels},
                     {"image_size", input.height},
                     {"patch_size", 4},
                     {"embed_dim", r.embedding},
                     {"hidden_size", r.embedding * 8},
                     {"depths", r.depths},
                     {"num_heads", r.heads},
                     {"num_layers", 4},
                     {"window_size", 7},
                     {"mlp_ratio", 4.0},
                     {"qkv_bias", true},
                     {"hidden_act", "gelu"},
                     {"hidden_dropout_prob", 0.0},
                     {"attention_probs_dropout_prob", 0.0},
                     {"drop_path_rate", 0.1},
                     {"initializer_range", 0.02},
                     {"layer_norm_eps", 1e-5},
                     {"use_absolute_embeddings", false},
                     {"encoder_stride", 32},
                     {"torch_dtype", "float32"}};
    if (input.height != input.width) c["image_size"] = {input.height, input.width};
    add_labels(c, input.classes);
    maps_of(input.height, input.width, read_sizes(c));
    return c;
  }
  throw InternalError("swin: " + name + " is not registered");
}

std::int64_t parameters(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  std::int64_t total = s.embedding * (s.channels * s.patch * s.patch + 3);
  const std::int64_t positions = (2 * s.window - 1) * (2 * s.window - 1);
  for (std::size_t i = 0; i < s.depths.size(); ++i) {
    const std::int64_t d = s.width(i), inner = s.inner(i);
    total += s.depths[i] * (4 * d * d + (s.qkv_bias ? 4 : 1) * d + 2 * d * inner + inner + d + 4 * d +
                            positions * s.heads[i]);
    if (i + 1 < s.depths.size()) total += 8 * d * d + 8 * d;
  }
  const std::int64_t last = s.width(s.depths.size() - 1);
  return total + 2 * last + (last + 1) * s.classes;
}

// One block of each stage, and what merges patches after it.
struct StagePrice {
  double blocks, projection, scores, perceptron, merging, padded, hidden;
};

std::vector<StagePrice> prices_of(const Sizes& s, std::int64_t height, std::int64_t width) {
  std::vector<StagePrice> out;
  const auto maps = maps_of(height, width, s);
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const Map& m = maps[i];
    const auto d = static_cast<double>(s.width(i)), window = static_cast<double>(m.window * m.window);
    const auto padded = static_cast<double>(m.padded_height() * m.padded_width());
    const auto merged = static_cast<double>((m.height + 1) / 2 * ((m.width + 1) / 2));
    out.push_back({static_cast<double>(s.depths[i]), 2 * padded * d * d, 2 * padded * window * d,
                   4 * static_cast<double>(m.height * m.width) * d * static_cast<double>(s.inner(i)),
                   i + 1 < maps.size() ? 16 * merged * d * d : 0, padded, d});
  }
  return out;
}

double patch_flops(const Sizes& s, std::int64_t height, std::int64_t width) {
  return 2.0 * static_cast<double>(up_to(height, s.patch) * up_to(width, s.patch) * s.channels * s.embedding);
}

double head_flops(const Sizes& s) {
  return 2 * static_cast<double>(s.width(s.depths.size() - 1) * s.classes);
}

Cost cost(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Sizes s = read_sizes(config);
  const double first = patch_flops(s, height, width);
  double forward = first + head_flops(s);
  for (const auto& p : prices_of(s, height, width))
    forward += p.blocks * (4 * p.projection + 2 * p.scores + p.perceptron) + p.merging;
  return {forward, 2 * forward - first};  // no gradient with respect to the image
}

Activations activations(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Sizes s = read_sizes(config);
  const auto maps = maps_of(height, width, s);
  Activations out;
  double most = 0;
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const auto tokens = static_cast<double>(maps[i].padded_height() * maps[i].padded_width());
    const AttentionLayer layer{
        .tokens = tokens,
        .hidden = static_cast<double>(s.width(i)),
        .inner = static_cast<double>(s.inner(i)),
        .scores = static_cast<double>(s.heads[i] * maps[i].window * maps[i].window) * tokens,
        .drops = field(config, "hidden_dropout_prob", 0.0) > 0,
        .drops_scores = field(config, "attention_probs_dropout_prob", 0.0) > 0};
    const auto blocks = static_cast<double>(s.depths[i]);
    const double between = 2 * layer.wide();  // norm and merging
    out.kept += blocks * layer.kept() + between;
    out.recomputed += blocks * layer.wide() + between;
    out.moving = std::max(out.moving, layer.moving());
    most = std::max(most, layer.kept());
  }
  out.recomputed += most;
  return out;
}

std::vector<Projection> projections(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  std::vector<Projection> out;
  for (std::size_t i = 0; i < s.depths.size(); ++i)
    for (std::int64_t k = 0; k < s.depths[i]; ++k)
      for (const char* which : {"query", "value"})
        out.push_back({fmt::format("swin.encoder.layers.{}.blocks.{}.attention.self.{}", i, k, which),
                       s.width(i), s.width(i)});
  return out;
}

// Through every matrix above the first block's adapters, into none of their weights (transformer_cost.hpp).
Cost lora_cost(const nlohmann::json& config, std::int64_t height, std::int64_t width, std::int64_t rank) {
  const Sizes s = read_sizes(config);
  double added = 0, backward = 2 * head_flops(s);
  for (const auto& p : prices_of(s, height, width)) {
    const double adapters = 8 * p.padded * static_cast<double>(rank) * p.hidden;
    const double upper = 4 * p.projection + p.perceptron + 4 * p.scores + 2 * adapters;
    backward += p.blocks * upper + p.merging;
    if (added == 0) backward += -3 * p.projection - p.scores - 0.5 * adapters;  // the first block
    added += p.blocks * adapters;
  }
  return {cost(config, height, width).forward + added, backward};
}

const RegisterDescriptor entry{{.family = "swin",
                                .model_type = "swin",
                                .summary = "Swin transformer: shifted windows",
                                .source = "Liu et al., ICCV 2021",
                                .names = {"swin_tiny", "swin_small", "swin_base", "swin_large"},
                                .config = make_config,
                                .parameters = parameters,
                                .cost = cost,
                                .head = {"classifier."},
                                .projections = projections,
                                .lora_cost = lora_cost,
                                .head_parameters =
                                    [](const nlohmann::json& config) {
                                      const Sizes s = read_sizes(config);
                                      return (s.width(s.depths.size() - 1) + 1) * s.classes;
                                    },
                                .activations = activations}};

#else

constexpr double kFixedEps = 1e-5;  // of the patches' norms and of merging, whatever config.json says

struct Block {
  std::shared_ptr<LayerNorm> norm_before, norm_after;
  std::shared_ptr<Linear> query, key, value, mix, widen, narrow;
  torch::Tensor biases;  // [(2 w - 1)^2, heads]
  std::int64_t heads;
};

struct Stage {
  std::vector<Block> blocks;
  std::shared_ptr<LayerNorm> merge_norm;  // absent in the last stage
  std::shared_ptr<Linear> merge;
};

class Swin : public Model {
 public:
  explicit Swin(const nlohmann::json& config)
      : Model(config),
        sizes_(read_sizes(config)),
        activation_(activation_of(config, "hidden_act", "gelu")),
        dropout_(field(config, "hidden_dropout_prob", 0.0)),
        attention_dropout_(field(config, "attention_probs_dropout_prob", 0.0)),
        drop_path_(field(config, "drop_path_rate", 0.1)),
        deviation_(field(config, "initializer_range", 0.02)),
        eps_(field(config, "layer_norm_eps", 1e-5)),
        positions_(relative_positions(sizes_.window)) {
    const Sizes& s = sizes_;
    if (!(drop_path_ >= 0 && drop_path_ < 1))
      throw DataError::corrupt(
          fmt::format("config.json: drop_path_rate is {}, expected 0 <= p < 1", drop_path_));
    patches_ = place(*this, "swin.embeddings.patch_embeddings.projection",
                     std::make_shared<Conv2d>(s.channels, s.embedding, s.patch, s.patch, 0, true));
    patch_norm_ = norm("swin.embeddings.norm", s.embedding, kFixedEps);
    for (std::size_t i = 0; i < s.depths.size(); ++i) {
      const std::string at = fmt::format("swin.encoder.layers.{}.", i);
      Stage& stage = stages_.emplace_back();
      for (std::int64_t k = 0; k < s.depths[i]; ++k)
        stage.blocks.push_back(make_block(fmt::format("{}blocks.{}.", at, k), i));
      if (i + 1 == s.depths.size()) continue;
      const std::int64_t d = s.width(i);
      stage.merge = place(*this, at + "downsample.reduction", std::make_shared<Linear>(4 * d, 2 * d, false));
      stage.merge_norm = norm(at + "downsample.norm", 4 * d, kFixedEps);
    }
    const std::int64_t last = s.width(s.depths.size() - 1);
    norm_ = norm("swin.layernorm", last, eps_);
    head_ = place(*this, "classifier", std::make_shared<Linear>(last, s.classes));
  }

  Tensors forward(const Tensors& inputs) override {
    const std::int64_t p = sizes_.patch;
    const torch::Tensor& pixels = inputs.at("pixel_values");
    torch::Tensor x = padded(pixels, up_to(pixels.size(2), p), up_to(pixels.size(3), p), 2);
    x = drop(patch_norm_->forward(patches_->forward(x).permute({0, 2, 3, 1})), dropout_);  // [n, H, W, C]
    maps_of(pixels.size(2), pixels.size(3), sizes_);  // refuses images that are too small
    std::size_t number = 0;
    for (const Stage& stage : stages_) {
      const Map map = map_of(x.size(1), x.size(2), sizes_);
      for (std::size_t k = 0; k < stage.blocks.size(); ++k)
        x = recomputed(x.device(), [this, x, map, odd = k % 2 == 1, &block = stage.blocks[k],
                                    site = fmt::format("block{}", number++)] {
          return adapted(site, transform(block, x, map, odd).flatten(1, 2))
              .unflatten(1, {map.height, map.width});
        });
      if (stage.merge) x = merged(stage, x);
    }
    const torch::Tensor features = norm_->forward(x.flatten(1, 2)), pooled = features.mean(1);
    return {{"logits", head_->forward(pooled)}, {"pooled", pooled}, {"features", features}};
  }

  void initialize(const Rng& rng) override {
    initialize_transformer(*this, rng, deviation_);
    const torch::NoGradGuard no_grad;
    for (Stage& stage : stages_)
      for (Block& block : stage.blocks) block.biases.zero_();
  }
  bool has_dropout() const override { return dropout_ > 0 || attention_dropout_ > 0 || drop_path_ > 0; }
  std::string head_prefix() const override { return "classifier"; }
  std::string base_prefix() const override { return "swin"; }
  std::vector<AdapterSite> adapter_sites() const override {
    std::vector<AdapterSite> out;
    for (const Stage& stage : stages_)
      for (const Block& block : stage.blocks)
        out.push_back({fmt::format("block{}", out.size()), block.mix->weight.size(0)});
    return out;
  }
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override {
    return {{"num_heads", read_sizes(config).heads},
            {"layer_norm_eps", field(config, "layer_norm_eps", 1e-5)},
            {"hidden_act", field<std::string>(config, "hidden_act", "gelu")}};
  }

 private:
  torch::Tensor drop(const torch::Tensor& x, double p) const { return dropped(x, p, is_training()); }

  std::shared_ptr<LayerNorm> norm(const std::string& name, std::int64_t width, double eps) {
    return place(*this, name, std::make_shared<LayerNorm>(width, eps));
  }

  Block make_block(const std::string& at, std::size_t stage) {
    const std::int64_t d = sizes_.width(stage), inner = sizes_.inner(stage);
    const auto linear = [&](const std::string& name, std::int64_t in, std::int64_t out, bool bias = true) {
      return place(*this, at + name, std::make_shared<Linear>(in, out, bias));
    };
    Block b;
    b.heads = sizes_.heads[stage];
    b.norm_before = norm(at + "layernorm_before", d, eps_);
    const std::int64_t side = 2 * sizes_.window - 1;
    auto& self = container(*this, at + "attention.self");
    b.biases = self.register_parameter("relative_position_bias_table", torch::zeros({side * side, b.heads}));
    self.register_buffer("relative_position_index", relative_positions(sizes_.window));
    b.query = linear("attention.self.query", d, d, sizes_.qkv_bias);
    b.key = linear("attention.self.key", d, d, sizes_.qkv_bias);
    b.value = linear("attention.self.value", d, d, sizes_.qkv_bias);
    b.mix = linear("attention.output.dense", d, d);
    b.norm_after = norm(at + "layernorm_after", d, eps_);
    b.widen = linear("intermediate.dense", d, inner);
    b.narrow = linear("output.dense", inner, d);
    return b;
  }

  // Zeros to the right and below, of dimensions `first` and the next.
  static torch::Tensor padded(const torch::Tensor& x, std::int64_t height, std::int64_t width,
                              std::int64_t first) {
    const std::int64_t below = height - x.size(first), right = width - x.size(first + 1);
    if (below == 0 && right == 0) return x;
    std::vector<std::int64_t> pad{0, right, 0, below};
    if (first == 1) pad.insert(pad.begin(), {0, 0});
    return at::constant_pad_nd(x, pad);
  }

  torch::Tensor transform(const Block& b, const torch::Tensor& x, const Map& m, bool odd) {
    const bool shifted = odd && m.shifts && m.window > 1;
    const std::int64_t n = x.size(0), shift = m.window / 2, h = m.padded_height(), w = m.padded_width();
    torch::Tensor y = padded(b.norm_before->forward(x), h, w, 1);
    if (shifted) y = y.roll({-shift, -shift}, {1, 2});
    y = from_windows(attend(b, into_windows(y.contiguous(), m.window), n, m, shifted), n, h, w, m.window);
    if (shifted) y = y.roll({shift, shift}, {1, 2});
    y = y.slice(1, 0, m.height).slice(2, 0, m.width);
    const torch::Tensor attended = x + drop_path(y, drop_path_, is_training());
    return attended +
           drop(b.narrow->forward(activation_(b.widen->forward(b.norm_after->forward(attended)))), dropout_);
  }

  // x [n * windows, tokens, C]; the linear layers see the windows of a sample side by side.
  torch::Tensor attend(const Block& b, const torch::Tensor& x, std::int64_t n, const Map& m, bool shifted) {
    const std::int64_t tokens = x.size(1), windows = x.size(0) / n, d = x.size(2);
    const torch::Tensor flat = x.view({n, windows * tokens, d});
    const auto heads = [&](const std::shared_ptr<Linear>& projection) {  // [n, windows, heads, tokens, width]
      return split_heads(projection->forward(flat).view({n * windows, tokens, d}), b.heads)
          .unflatten(0, {n, windows});
    };
    torch::Tensor added =
        b.biases.index_select(0, positions_.to(x.device()).view({-1})).view({tokens, tokens, b.heads});
    added = added.permute({2, 0, 1}).unsqueeze(0);
    if (shifted) added = added + mask_of(m).to(x.device());
    const torch::Tensor mixed =
        attention(heads(b.query), heads(b.key), heads(b.value), added, attention_dropout_, is_training());
    return drop(b.mix->forward(join_heads(mixed.flatten(0, 1)).view({n, windows * tokens, d})),
                attention_dropout_);
  }

  const torch::Tensor& mask_of(const Map& m) {
    auto& mask = masks_[{m.height, m.width}];
    if (!mask.defined()) mask = shift_mask(m.padded_height(), m.padded_width(), m.window);
    return mask;
  }

  // Four neighbours side by side, the row offset varying first.
  static torch::Tensor merged(const Stage& stage, const torch::Tensor& x) {
    const torch::Tensor even = padded(x, up_to(x.size(1), 2), up_to(x.size(2), 2), 1);
    const auto part = [&](std::int64_t row, std::int64_t column) {
      return even.slice(1, row, {}, 2).slice(2, column, {}, 2);
    };
    return stage.merge->forward(
        stage.merge_norm->forward(at::cat({part(0, 0), part(1, 0), part(0, 1), part(1, 1)}, 3)));
  }

  Sizes sizes_;
  Activation activation_;
  double dropout_, attention_dropout_, drop_path_, deviation_, eps_;
  torch::Tensor positions_;
  std::map<std::pair<std::int64_t, std::int64_t>, torch::Tensor> masks_;  // by the map's sides
  std::shared_ptr<Conv2d> patches_;
  std::shared_ptr<LayerNorm> patch_norm_, norm_;
  std::vector<Stage> stages_;
  std::shared_ptr<Linear> head_;
};

const RegisterBuilder builder{
    "swin", [](const nlohmann::json& c) -> std::shared_ptr<Model> { return std::make_shared<Swin>(c); }};

#endif

}  // namespace swin
}  // namespace expunge::models
