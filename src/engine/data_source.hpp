// The samples of a data set as its task takes them.
#pragma once

#include <memory>

#include "data/dataset.hpp"
#include "data/split.hpp"
#include "engine/setup.hpp"

namespace expunge {

// Of one side, on the device; `augmentation`: the seed of training grains' augmentation; `graph`: what
// make_graph left of it, where samples are edges (engine/graph_source.hpp). `dataset` outlives it.
std::unique_ptr<SampleSource> make_source(const data::Dataset& dataset, data::Side side,
                                          const data::DataOptions& options, std::uint64_t augmentation,
                                          torch::Device device, const models::Tensors& graph = {});

}  // namespace expunge
