// Edges of a graph as grains: a sample is an edge, and every grain carries the whole graph.
#pragma once

#include "data/dataset.hpp"
#include "engine/sample_source.hpp"

namespace expunge {

// What is left of a data set's graph when `forget` is taken out of it, on the device:
//   graph.features [nodes, vocabulary]  hashed words of the retained sentences that name a node, rows of norm
//   1 graph.source, graph.target [edges]  both directions of the retained edges, and a self-loop for each
//   node graph.weight [edges]                1 / sqrt(degree_source degree_target), self-loops counted
//   graph.hops [nodes]                  distance from the nearest node of a forgotten edge; the number of
//   nodes
//                                       where there is no way
// A forgotten edge leaves nothing behind: neither its messages nor its words.
models::Tensors make_graph(const data::Dataset& dataset, const std::vector<std::int64_t>& forget,
                           const std::vector<std::int64_t>& retain, torch::Device device);

// Inputs: the graph's, and "edge" [n, 2], the nodes of each sample.
class GraphSource : public SampleSource {
 public:
  GraphSource(const data::Dataset& dataset, data::Side side, models::Tensors graph, torch::Device device)
      : dataset_(dataset), side_(side), graph_(std::move(graph)), device_(device) {}

  void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const override;

 private:
  const data::Dataset& dataset_;
  data::Side side_;
  models::Tensors graph_;
  torch::Device device_;
};

}  // namespace expunge
