// A graph convolutional network (Kipf and Welling 2017) that classifies edges: two layers
//   H1 = A X W1' + b1,  H2 = A relu(H1) W2' + b2,  A = D^-1/2 (edges + self-loops) D^-1/2,
// then, for an edge (u, v), relu of a linear map of [H2_u ; H2_v] and a linear classifier. The whole graph
// runs in each pass. It exposes the nodes' representations "nodes.layer1" and "nodes.layer2". A size of its
// own; Hugging Face does not know it.
#include "models/config_json.hpp"
#include "models/descriptor.hpp"
#ifdef EXPUNGE_ENGINE
#include "models/torch/blocks.hpp"
#endif

namespace expunge::models {
namespace gcn {

struct Sizes {
  std::int64_t features, nodes, hidden, out, edge, classes;
};

Sizes read_sizes(const nlohmann::json& config) {
  return {size_field(config, "num_features", 512), size_field(config, "num_nodes", 1),
          size_field(config, "hidden_size", 128),  size_field(config, "output_size", 64),
          size_field(config, "edge_size", 128),    class_count(config)};
}

#ifndef EXPUNGE_ENGINE

nlohmann::json make_config(const std::string&, const InputShape& input) {
  nlohmann::json c{{"architectures", {"ExpungeGcn"}},
                   {"model_type", "expunge_gcn"},
                   {"num_features", input.vocabulary > 0 ? input.vocabulary : 512},
                   {"num_nodes", input.nodes > 0 ? input.nodes : 1},
                   {"hidden_size", 128},
                   {"output_size", 64},
                   {"edge_size", 128},
                   {"torch_dtype", "float32"}};
  add_labels(c, input.classes);
  return c;
}

std::int64_t head_parameters(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  return (s.edge + 1) * s.classes;
}

std::int64_t parameters(const nlohmann::json& config) {
  const Sizes s = read_sizes(config);
  return (s.features + 1) * s.hidden + (s.hidden + 1) * s.out + (2 * s.out + 1) * s.edge +
         head_parameters(config);
}

Cost cost(const nlohmann::json& config, std::int64_t, std::int64_t) {
  const Sizes s = read_sizes(config);
  const auto edge = static_cast<double>(2 * (2 * s.out * s.edge + s.edge * s.classes)),
             first = static_cast<double>(2 * s.nodes * s.features * s.hidden),
             second = static_cast<double>(2 * s.nodes * s.hidden * s.out);
  return {edge, 2 * edge, first + second, first + 2 * second};
}

const RegisterDescriptor entry{{.family = "gcn",
                                .model_type = "expunge_gcn",
                                .summary = "graph convolutional network for edges",
                                .source = "Kipf and Welling, ICLR 2017; sizes as in GNNDelete",
                                .names = {"gcn"},
                                .config = make_config,
                                .parameters = parameters,
                                .cost = cost,
                                .takes_graph = true,
                                .head = {"classifier."},
                                .head_parameters = head_parameters}};

#else

// A H W' + b. It does not report to recorders: its rows are nodes, not samples.
class GraphConvolution : public torch::nn::Module {
 public:
  GraphConvolution(std::int64_t in, std::int64_t out)
      : weight_(register_parameter("weight", torch::zeros({out, in}))),
        bias_(register_parameter("bias", torch::zeros({out}))) {}

  torch::Tensor forward(const torch::Tensor& h, const Tensors& inputs) {
    const torch::Tensor x = at::linear(h, weight_).to(torch::kFloat);
    const torch::Tensor messages =
        x.index_select(0, inputs.at("graph.source")) * inputs.at("graph.weight").unsqueeze(1);
    return at::zeros_like(x).index_add(0, inputs.at("graph.target"), messages) + bias_;
  }

 private:
  torch::Tensor weight_, bias_;
};

class Gcn : public Model {
 public:
  explicit Gcn(const nlohmann::json& config) : Model(config), sizes_(read_sizes(config)) {
    first_ = place(*this, "gcn.0", std::make_shared<GraphConvolution>(sizes_.features, sizes_.hidden));
    second_ = place(*this, "gcn.1", std::make_shared<GraphConvolution>(sizes_.hidden, sizes_.out));
    edge_ = place(*this, "edge", std::make_shared<Linear>(2 * sizes_.out, sizes_.edge));
    head_ = place(*this, "classifier", std::make_shared<Linear>(sizes_.edge, sizes_.classes));
  }

  Tensors forward(const Tensors& inputs) override {
    const torch::Tensor one = adapted("layer1", first_->forward(inputs.at("graph.features"), inputs), inputs);
    const torch::Tensor two =
        adapted("layer2", second_->forward(at::relu(passed_on("layer1", one)), inputs), inputs);
    const torch::Tensor& ends = inputs.at("edge");  // [n, 2] nodes
    const torch::Tensor both = two.index_select(0, ends.flatten()).view({ends.size(0), 2 * sizes_.out});
    const torch::Tensor pooled = at::relu(edge_->forward(both));
    return {{"logits", head_->forward(pooled)},
            {"pooled", pooled},
            {"features", pooled.unsqueeze(1)},
            {"nodes.layer1", one},
            {"nodes.layer2", two}};
  }

  void initialize(const Rng& rng) override { initialize_convolutional(*this, rng); }
  std::string head_prefix() const override { return "classifier"; }
  std::vector<AdapterSite> adapter_sites() const override {
    return {{"layer1", sizes_.hidden}, {"layer2", sizes_.out}};
  }
  nlohmann::json shapeless_settings(const nlohmann::json&) const override {
    return nlohmann::json::object();  // the number of nodes prices a pass and changes no result
  }

 private:
  Sizes sizes_;
  std::shared_ptr<GraphConvolution> first_, second_;
  std::shared_ptr<Linear> edge_, head_;
};

const RegisterBuilder builder{"expunge_gcn", [](const nlohmann::json& c) -> std::shared_ptr<Model> {
                                return std::make_shared<Gcn>(c);
                              }};

#endif

}  // namespace gcn
}  // namespace expunge::models
