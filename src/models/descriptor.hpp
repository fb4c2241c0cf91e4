// What a model family declares without LibTorch: its registered sizes, its config.json, its parameters and
// FLOPs. A family is one file in models/, compiled twice like a method (see methods/method.hpp).
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace expunge::models {

// What a model is told about its input and output.
struct InputShape {
  std::int64_t channels = 3, height = 32, width = 32, classes = 10;
  std::int64_t tokens = 0, vocabulary = 0;  // of a caption beside the image; 0 = none
  std::int64_t nodes = 0;                   // of the graph of which samples are edges; 0 = none
};

// Matrix-multiplication and convolution FLOPs of one sample (a multiply-add is 2), all parameters trainable.
// Everything else counts 0. backward lacks the input gradient of the first layer.
struct Cost {
  double forward = 0, backward = 0;
  // Of a pass, whatever its number of samples: what is computed once for a whole graph.
  double pass_forward = 0, pass_backward = 0;
};

// The cost of a sample when a pass takes so many of them (a grain).
inline Cost in_grains(const Cost& cost, std::int64_t samples) {
  const auto n = static_cast<double>(samples);
  return {cost.forward + cost.pass_forward / n, cost.backward + cost.pass_backward / n};
}

// Numbers of one sample that a pass in single precision holds beside its input and the parameters.
struct Activations {
  double kept = 0;        // what layers keep for the backward pass
  double recomputed = 0;  // the same where blocks run again in the backward pass; `kept` without such blocks
  double moving = 0;      // beside these, at most: what one layer reads and writes, or their gradients
};

// A linear layer that low-rank adapters may be laid beside: `name` + ".weight" is [out, in].
struct Projection {
  std::string name;
  std::int64_t in = 0, out = 0;
};

struct Descriptor {
  std::string family;      // file name: "resnet", "resnet_cifar", "vit"
  std::string model_type;  // config.json: "resnet", "expunge_resnet_cifar", "vit"
  std::string summary, source;
  std::vector<std::string> names;  // registered sizes: "resnet18" ...
  // config.json (Hugging Face layout) of a registered size for this input.
  std::function<nlohmann::json(const std::string& name, const InputShape&)> config;
  // From a config.json: trainable parameters, float buffers (BatchNorm statistics), cost for an input of h x
  // w.
  std::function<std::int64_t(const nlohmann::json& config)> parameters;
  std::function<Cost(const nlohmann::json& config, std::int64_t height, std::int64_t width)> cost = {};
  bool has_batch_norm = false;
  bool takes_text = false;              // image-caption pairs, or texts alone (models/input_kind.hpp)
  bool takes_graph = false;             // edges of a graph
  std::string task = "classification";  // or causal_lm: "logits" [n, tokens, vocabulary] of the next token
  // Outputs "pooled" and "features", and a linear classifier on the former (causal_lm: both are the last
  // layer's states [n, tokens, width], and the classifier reads each of them).
  bool linear_head = true;

  // What partial training needs (models/trainable.hpp). Prefixes of the task head's tensors, and of the
  // fusion module's (none: the family has no such module).
  std::vector<std::string> head = {}, fusion = {};
  // Query and value projections, and the cost with adapters of this rank beside them, when only these and
  // the head are trained. Empty: the family has none.
  std::function<std::vector<Projection>(const nlohmann::json& config)> projections = {};
  std::function<Cost(const nlohmann::json& config, std::int64_t height, std::int64_t width,
                     std::int64_t rank)>
      lora_cost = {};
  // Cost when only the fusion module is trained.
  std::function<Cost(const nlohmann::json& config, std::int64_t height, std::int64_t width)> fusion_cost = {};
  std::function<std::int64_t(const nlohmann::json&config)> head_parameters = {}, fusion_parameters = {};
  // For an input of h x w; empty: estimated from the cost (activations_of).
  std::function<Activations(const nlohmann::json& config, std::int64_t height, std::int64_t width)>
      activations = {};
};

const std::vector<const Descriptor*>& descriptors();                  // sorted by family
const Descriptor* find_descriptor(const std::string& name);           // by registered size, e.g. "resnet8"
const Descriptor* find_by_model_type(const std::string& model_type);  // by config.json
std::vector<std::string> model_names();

struct RegisterDescriptor {
  explicit RegisterDescriptor(Descriptor descriptor);
};

}  // namespace expunge::models
