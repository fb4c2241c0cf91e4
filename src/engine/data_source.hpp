// The samples of a data set as its task takes them.
#pragma once

#include <memory>

#include "data/dataset.hpp"
#include "data/split.hpp"
#include "engine/setup.hpp"

namespace expunge {

// Of one side, on the device; `augmentation`: the seed of training grains' augmentation. `dataset` outlives
// it.
std::unique_ptr<SampleSource> make_source(const data::Dataset& dataset, data::Side side,
                                          const data::DataOptions& options, std::uint64_t augmentation,
                                          torch::Device device);

}  // namespace expunge
