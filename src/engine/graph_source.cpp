#include "engine/graph_source.hpp"

#include <cmath>
#include <queue>
#include <set>

namespace expunge {
namespace {

using NodeId = std::int64_t;
using Edge = std::pair<NodeId, NodeId>;

Edge ends_of(const data::Dataset& dataset, data::Side side, std::int64_t id) {
  return {data::image_of(dataset, side, id), data::captioned_image(dataset, side, id)};
}

torch::Tensor features_of(const data::Dataset& dataset, const std::vector<std::int64_t>& retain) {
  const auto& info = dataset.info();
  torch::Tensor out = torch::zeros({info.nodes, info.vocabulary});
  float* x = out.data_ptr<float>();
  std::vector<std::int64_t> words(static_cast<std::size_t>(info.tokens));
  for (const auto id : retain) {
    data::read_caption(dataset, data::Side::kTrain, id, words.data());
    const auto [u, v] = ends_of(dataset, data::Side::kTrain, id);
    for (const auto word : words)
      if (word > 0) ++x[u * info.vocabulary + word], ++x[v * info.vocabulary + word];
  }
  return out.div_(out.norm(2, 1, true).clamp_min_(1));
}

// Neighbours of each node, ascending, itself included.
std::vector<std::set<NodeId>> neighbours_of(const data::Dataset& dataset,
                                            const std::vector<std::int64_t>& retain) {
  std::vector<std::set<NodeId>> out(static_cast<std::size_t>(dataset.info().nodes));
  for (std::size_t v = 0; v < out.size(); ++v) out[v].insert(static_cast<NodeId>(v));
  for (const auto id : retain) {
    const auto [u, v] = ends_of(dataset, data::Side::kTrain, id);
    out[static_cast<std::size_t>(u)].insert(v);
    out[static_cast<std::size_t>(v)].insert(u);
  }
  return out;
}

// Breadth first from the nodes of the forgotten edges; these edges themselves shorten no way.
torch::Tensor hops_of(const data::Dataset& dataset, const std::vector<std::int64_t>& forget,
                      const std::vector<std::set<NodeId>>& neighbours) {
  const auto nodes = static_cast<NodeId>(neighbours.size());
  torch::Tensor out = torch::full({nodes}, nodes, torch::kLong);
  auto* hops = out.data_ptr<std::int64_t>();
  std::queue<NodeId> open;
  const auto reach = [&](NodeId v, std::int64_t distance) {
    if (hops[v] <= distance) return;
    hops[v] = distance;
    open.push(v);
  };
  for (const auto id : forget) {
    const auto [u, v] = ends_of(dataset, data::Side::kTrain, id);
    reach(u, 0), reach(v, 0);
  }
  for (; !open.empty(); open.pop())
    for (const NodeId v : neighbours[static_cast<std::size_t>(open.front())])
      reach(v, hops[open.front()] + 1);
  return out;
}

}  // namespace

models::Tensors make_graph(const data::Dataset& dataset, const std::vector<std::int64_t>& forget,
                           const std::vector<std::int64_t>& retain, torch::Device device) {
  const auto neighbours = neighbours_of(dataset, retain);
  std::vector<std::int64_t> source, target;
  std::vector<float> weight;
  for (std::size_t v = 0; v < neighbours.size(); ++v)
    for (const NodeId u : neighbours[v]) {
      source.push_back(u), target.push_back(static_cast<NodeId>(v));
      const auto degrees = neighbours[v].size() * neighbours[static_cast<std::size_t>(u)].size();
      weight.push_back(static_cast<float>(1 / std::sqrt(static_cast<double>(degrees))));
    }
  models::Tensors out{{"graph.features", features_of(dataset, retain)},
                      {"graph.source", torch::tensor(source, torch::kLong)},
                      {"graph.target", torch::tensor(target, torch::kLong)},
                      {"graph.weight", torch::tensor(weight)},
                      {"graph.hops", hops_of(dataset, forget, neighbours)}};
  for (auto& [name, value] : out) value = value.to(device);
  return out;
}

void GraphSource::load(const std::vector<std::int64_t>& ids, std::int64_t, Batch& into) const {
  const auto n = static_cast<std::int64_t>(ids.size());
  torch::Tensor ends = at::empty({n, 2}, torch::kLong), labels = at::empty({n}, torch::kLong);
  for (std::int64_t i = 0; i < n; ++i) {
    const auto id = ids[static_cast<std::size_t>(i)];
    std::tie(ends.data_ptr<std::int64_t>()[2 * i], ends.data_ptr<std::int64_t>()[2 * i + 1]) =
        ends_of(dataset_, side_, id);
    labels.data_ptr<std::int64_t>()[i] = dataset_.label(side_, id);
  }
  for (const auto& [name, value] : graph_) into.inputs[name] = value;
  into.inputs["edge"] = ends.to(device_);
  into.labels = labels.to(device_);
}

}  // namespace expunge
