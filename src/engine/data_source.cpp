#include "engine/data_source.hpp"

#include "engine/device_source.hpp"
#include "engine/graph_source.hpp"
#include "engine/image_source.hpp"
#include "engine/text_source.hpp"

namespace expunge {
namespace {

// Samples in host memory.
std::unique_ptr<SampleSource> host_source(const data::Dataset& dataset, data::Side side,
                                          const data::DataOptions& options, std::uint64_t augmentation,
                                          const models::Tensors& graph) {
  if (dataset.info().nodes > 0) return std::make_unique<GraphSource>(dataset, side, graph, torch::kCPU);
  if (dataset.info().text_alone()) return std::make_unique<TextSource>(dataset, side, torch::kCPU);
  return std::make_unique<ImageSource>(dataset, side, options, augmentation, torch::kCPU);
}

}  // namespace

std::unique_ptr<SampleSource> make_source(const data::Dataset& dataset, data::Side side,
                                          const data::DataOptions& options, std::uint64_t augmentation,
                                          torch::Device device, const models::Tensors& graph) {
  return on_device(host_source(dataset, side, options, augmentation, graph), device);
}

}  // namespace expunge
