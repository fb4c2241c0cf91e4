// Samples of an image data set as grains: decoded, augmented and normalised on the host, then moved to the
// device.
#pragma once

#include "data/dataset.hpp"
#include "data/split.hpp"
#include "engine/setup.hpp"

namespace expunge {

class ImageSource : public SampleSource {
 public:
  // `pass` of load() drives the augmentation of training grains; evaluation passes -1.
  ImageSource(const data::Dataset& dataset, data::Side side, data::DataOptions options, std::uint64_t seed,
              torch::Device device)
      : dataset_(dataset), side_(side), options_(options), seed_(seed), device_(device) {}

  void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const override;

 private:
  const data::Dataset& dataset_;
  data::Side side_;
  data::DataOptions options_;
  std::uint64_t seed_;
  torch::Device device_;
};

}  // namespace expunge
