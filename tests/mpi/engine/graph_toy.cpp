// A toy for methods on graphs, through the engine's own graph source.
#include "engine/graph_source.hpp"
#include "models/descriptor.hpp"
#include "tests/mpi/engine/toys.hpp"
#include "tests/unit/fake_pairs.hpp"

namespace expunge::test {
namespace {

constexpr std::int64_t kKind = 24;  // nodes of each kind

// The k-th of 288 distinct edges, between even nodes or between odd ones, which the label tells. Each node
// has a word of its own.
data::FakePair edge(std::int64_t k) {
  constexpr std::int64_t kHalf = kKind / 2;
  const std::int64_t pair = k * 37 % (kKind * kHalf), head = pair / kHalf,
                     tail = 2 * (pair % kHalf) + head % 2;
  return {head,
          kKind + tail,
          head % 2,
          {static_cast<std::uint16_t>(1 + head), static_cast<std::uint16_t>(31 + tail)}};
}

class GraphRows : public Rows {
 public:
  GraphRows(std::shared_ptr<const data::FakePairs> graph, const std::vector<std::int64_t>& forget,
            const std::vector<std::int64_t>& retain, torch::Tensor labels)
      : Rows("edge", torch::zeros({labels.numel(), 2}), labels),
        graph_(std::move(graph)),
        source_(*graph_, data::Side::kTrain, make_graph(*graph_, forget, retain, torch::kCPU), torch::kCPU) {}
  void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const override {
    source_.load(ids, pass, into);
    loaded.push_back(ids);
  }

 private:
  std::shared_ptr<const data::FakePairs> graph_;
  GraphSource source_;
};

}  // namespace

Toy graph_toy(std::int64_t forget, std::int64_t retain) {
  Toy toy;
  std::vector<data::FakePair> edges;
  for (std::int64_t k = 0; k < forget + retain + kUnseen; ++k) {
    edges.push_back(edge(k));
    (k < forget ? toy.forget : k < forget + retain ? toy.retain : toy.unseen).push_back(k);
  }
  torch::Tensor labels = torch::zeros({static_cast<std::int64_t>(edges.size())}, torch::kLong);
  for (std::size_t k = 0; k < edges.size(); ++k) labels[static_cast<std::int64_t>(k)] = edges[k].label;
  const auto graph = std::make_shared<const data::FakePairs>(2 * kKind, edges);
  toy.samples = std::make_shared<GraphRows>(graph, toy.forget, toy.retain, labels);
  auto config =
      models::find_descriptor("gcn")->config("gcn", {.classes = 2, .vocabulary = 64, .nodes = 2 * kKind});
  config.update({{"hidden_size", 6}, {"output_size", 5}, {"edge_size", 4}});
  toy.make = [config] { return models::build(config); };
  toy.task = tasks::make_classification(2);
  toy.classes = 2;
  return toy;
}

}  // namespace expunge::test
