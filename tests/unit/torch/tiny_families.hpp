// A tiny config.json of every family, and inputs that fit it.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/config_json.hpp"
#include "models/torch/model.hpp"

namespace expunge::test {

inline std::vector<nlohmann::json> tiny_images() {
  using nlohmann::json;
  const json shared{{"num_channels", 1}, {"num_labels", 3}};
  std::vector<json> out{{{"model_type", "expunge_resnet_cifar"}, {"depth", 8}},
                        {{"model_type", "resnet"},
                         {"embedding_size", 4},
                         {"hidden_sizes", {4, 8}},
                         {"depths", {1, 1}},
                         {"layer_type", "basic"}},
                        {{"model_type", "vit"},
                         {"image_size", 16},
                         {"patch_size", 8},
                         {"hidden_size", 12},
                         {"num_hidden_layers", 1},
                         {"num_attention_heads", 2},
                         {"intermediate_size", 16},
                         {"hidden_dropout_prob", 0.1}},
                        {{"model_type", "mobilenet_v2"},
                         {"depth_multiplier", 0.1},
                         {"min_depth", 4},
                         {"depth_divisible_by", 4},
                         {"finegrained_output", false}},
                        {{"model_type", "convnext"},
                         {"patch_size", 2},
                         {"hidden_sizes", {4, 8}},
                         {"depths", {2, 1}},
                         {"drop_path_rate", 0.3},
                         {"layer_scale_init_value", 0.5}},
                        {{"model_type", "swin"},
                         {"patch_size", 2},
                         {"embed_dim", 8},
                         {"depths", {2, 2}},
                         {"num_heads", {2, 4}},
                         {"window_size", 3},
                         {"drop_path_rate", 0.3},
                         {"attention_probs_dropout_prob", 0.1}}};
  for (auto& config : out) config.update(shared);
  return out;
}

inline std::vector<nlohmann::json> tiny_texts() {
  using nlohmann::json;
  const json shared{{"vocab_size", 23},         {"hidden_size", 12},       {"num_hidden_layers", 2},
                    {"num_attention_heads", 3}, {"intermediate_size", 20}, {"max_position_embeddings", 16},
                    {"num_labels", 3}};
  const auto with = [&](json changes) {
    json config = shared;
    config.update(changes);
    return config;
  };
  return {with({{"model_type", "bert"}}),
          with({{"model_type", "electra"}, {"embedding_size", 8}}),
          with({{"model_type", "roberta"}, {"type_vocab_size", 1}, {"pad_token_id", 1}}),
          {{"model_type", "distilbert"},
           {"vocab_size", 23},
           {"dim", 12},
           {"n_layers", 2},
           {"n_heads", 3},
           {"hidden_dim", 20},
           {"max_position_embeddings", 16},
           {"num_labels", 3}},
          with({{"model_type", "albert"},
                {"embedding_size", 8},
                {"num_hidden_layers", 3},
                {"hidden_dropout_prob", 0.1},
                {"attention_probs_dropout_prob", 0.1}}),
          with({{"model_type", "deberta-v2"},
                {"relative_attention", true},
                {"share_att_key", true},
                {"pos_att_type", {"p2c", "c2p"}},
                {"position_biased_input", false},
                {"position_buckets", 4},
                {"norm_rel_ebd", "layer_norm"},
                {"pooler_dropout", 0.1}})};
}

inline std::vector<nlohmann::json> tiny_families() {
  auto out = tiny_images();
  for (auto& config : tiny_texts()) out.push_back(config);
  return out;
}

inline bool reads_text(const nlohmann::json& config) { return config.contains("vocab_size"); }

// n samples: images of 16 x 16, or texts of 2 to 10 tokens, padded to 10, of two token types.
inline models::Tensors tiny_inputs(const nlohmann::json& config, std::int64_t n, std::uint64_t seed = 3) {
  const Rng rng(seed, "tiny inputs");
  if (!reads_text(config)) {
    torch::Tensor x = torch::zeros({n, 1, 16, 16});
    float* at = x.data_ptr<float>();
    for (std::int64_t i = 0; i < x.numel(); ++i)
      at[i] = static_cast<float>(rng.normal(static_cast<std::uint64_t>(i)));
    return {{"pixel_values", x}};
  }
  const auto padding = models::field(config, "pad_token_id", std::int64_t{0});
  torch::Tensor ids = torch::full({n, 10}, padding, torch::kLong), mask = torch::zeros({n, 10}, torch::kLong),
                types = torch::zeros({n, 10}, torch::kLong);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k < 2 + i * 5 % 9; ++k) {
      const double u = rng.uniform(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(k));
      ids[i][k] = 2 + static_cast<std::int64_t>(u * 21);
      mask[i][k] = 1;
      types[i][k] = k > 3 && config.value("type_vocab_size", 2) > 1 ? 1 : 0;
    }
  return {{"input_ids", ids}, {"attention_mask", mask}, {"token_type_ids", types}};
}

inline std::string family_name(const nlohmann::json& config) {
  std::string name = config.at("model_type");
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

}  // namespace expunge::test
