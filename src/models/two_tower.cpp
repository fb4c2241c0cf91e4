// A small two-tower network for image-caption pairs: a convolutional image tower, a bag-of-words text tower,
// and a fusion module over (image, text, image * text). It exposes the features "image", "text" and "fused"
// that multidelete works on. An own family, made to study unlearning of pairs on a laptop; Hugging Face does
// not know it.
#include "models/config_json.hpp"
#include "models/descriptor.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/blocks.hpp"
#endif

namespace expunge::models {
namespace two_tower {

constexpr std::int64_t kWidth = 64, kFusion = 128,
                       kFirst = 32;  // features, hidden fusion units, first channels

struct Sizes {
  std::int64_t channels, vocabulary, classes;
};

Sizes read_sizes(const nlohmann::json& config) {
  return {size_field(config, "num_channels", 3), size_field(config, "vocab_size", 2048), class_count(config)};
}

#ifndef EXPUNGE_ENGINE

nlohmann::json make_config(const std::string&, const InputShape& input) {
  nlohmann::json c{{"architectures", {"ExpungeTwoTower"}},
                   {"model_type", "expunge_two_tower"},
                   {"num_channels", input.channels},
                   {"max_tokens", input.tokens > 0 ? input.tokens : 24},
                   {"vocab_size", input.vocabulary > 0 ? input.vocabulary : 2048},
                   {"torch_dtype", "float32"}};
  add_labels(c, input.classes);
  return c;
}

std::int64_t head_parameters(const nlohmann::json& config) {
  return (kWidth + 1) * read_sizes(config).classes;
}
std::int64_t fusion_parameters(const nlohmann::json&) {
  return (3 * kWidth + 1) * kFusion + (kFusion + 1) * kWidth;
}

std::int64_t parameters(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  const std::int64_t image = (9 * s.channels + 1) * kFirst + (9 * kFirst + 1) * kWidth +
                             (9 * kWidth + 1) * kWidth + (kWidth + 1) * kWidth,
                     text = s.vocabulary * kWidth + (kWidth + 1) * kWidth;
  return image + text + fusion_parameters(config) + head_parameters(config);
}

std::int64_t halved(std::int64_t n) { return (n + 1) / 2; }  // a 3x3 convolution of stride 2, padding 1

struct Forward {
  double first, rest, fusion_in, fusion_out, head;
};

Forward forward_of(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Sizes s = read_sizes(config);
  const std::int64_t h1 = halved(height), w1 = halved(width), h2 = halved(h1), w2 = halved(w1),
                     h3 = halved(h2), w3 = halved(w2);
  Forward f{};
  f.first = static_cast<double>(2 * 9 * s.channels * kFirst * h1 * w1);
  f.rest = static_cast<double>(2 * 9 * kFirst * kWidth * h2 * w2 + 2 * 9 * kWidth * kWidth * h3 * w3 +
                               2 * 2 * kWidth * kWidth);
  f.fusion_in = static_cast<double>(2 * 3 * kWidth * kFusion);
  f.fusion_out = static_cast<double>(2 * kFusion * kWidth);
  f.head = static_cast<double>(2 * kWidth * s.classes);
  return f;
}

Cost cost(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Forward f = forward_of(config, height, width);
  const double forward = f.first + f.rest + f.fusion_in + f.fusion_out + f.head;
  return {forward, 2 * forward - f.first};  // no gradient with respect to the image
}

// The towers and the head keep their weights; gradients end at the fusion module's input.
Cost fusion_cost(const nlohmann::json& config, std::int64_t height, std::int64_t width) {
  const Forward f = forward_of(config, height, width);
  return {cost(config, height, width).forward, f.head + 2 * f.fusion_out + f.fusion_in};
}

const RegisterDescriptor entry{{.family = "two_tower",
                                .model_type = "expunge_two_tower",
                                .summary = "image and text towers with a fusion module, for pairs",
                                .source = "an own small model",
                                .names = {"two_tower"},
                                .config = make_config,
                                .parameters = parameters,
                                .cost = cost,
                                .takes_text = true,
                                .linear_head = false,
                                .head = {"classifier."},
                                .fusion = {"fusion."},
                                .fusion_cost = fusion_cost,
                                .head_parameters = head_parameters,
                                .fusion_parameters = fusion_parameters}};

#else

class TwoTower : public Model {
 public:
  explicit TwoTower(const nlohmann::json& config) : Model(config) {
    const Sizes s = read_sizes(config);
    const auto conv = [&](const char* name, std::int64_t in, std::int64_t out) {
      return place(*this, name, std::make_shared<Conv2d>(in, out, 3, 2, 1, true));
    };
    const auto linear = [&](const char* name, std::int64_t in, std::int64_t out) {
      return place(*this, name, std::make_shared<Linear>(in, out));
    };
    conv1_ = conv("image.conv1", s.channels, kFirst);
    conv2_ = conv("image.conv2", kFirst, kWidth);
    conv3_ = conv("image.conv3", kWidth, kWidth);
    image_ = linear("image.projection", kWidth, kWidth);
    words_ = container(*this, "text").register_parameter("words", torch::zeros({s.vocabulary, kWidth}));
    text_ = linear("text.projection", kWidth, kWidth);
    widen_ = linear("fusion.widen", 3 * kWidth, kFusion);
    narrow_ = linear("fusion.narrow", kFusion, kWidth);
    head_ = linear("classifier", kWidth, s.classes);
  }

  Tensors forward(const Tensors& inputs) override {
    torch::Tensor x = inputs.at("pixel_values");
    for (const auto& conv : {conv1_, conv2_, conv3_}) x = at::relu(conv->forward(x));
    const torch::Tensor image = image_->forward(x.mean({2, 3}));
    const torch::Tensor& ids = inputs.at("input_ids");  // [n, tokens]; 0 = padding
    const torch::Tensor real = (ids > 0).to(torch::kFloat).unsqueeze(-1);
    const torch::Tensor mean = (at::embedding(words_, ids) * real).sum(1) / real.sum(1).clamp_min(1);
    const torch::Tensor text = text_->forward(mean);
    const torch::Tensor fused =
        narrow_->forward(at::relu(widen_->forward(at::cat({image, text, image * text}, 1))));
    return {{"logits", head_->forward(at::relu(fused))}, {"image", image}, {"text", text}, {"fused", fused}};
  }

  void initialize(const Rng& rng) override {
    initialize_convolutional(*this, rng);
    fill_normal(words_, rng.sub("text.words"), 1);
  }
  nlohmann::json shapeless_settings(const nlohmann::json& config) const override {
    return {{"max_tokens", size_field(config, "max_tokens", 24)}};
  }

 private:
  std::shared_ptr<Conv2d> conv1_, conv2_, conv3_;
  std::shared_ptr<Linear> image_, text_, widen_, narrow_, head_;
  torch::Tensor words_;
};

const RegisterBuilder builder{"expunge_two_tower", [](const nlohmann::json& c) -> std::shared_ptr<Model> {
                                return std::make_shared<TwoTower>(c);
                              }};

#endif

}  // namespace two_tower
}  // namespace expunge::models
