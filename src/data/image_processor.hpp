// What a published vision model does to an image before it sees it: preprocessor_config.json of Hugging
// Face's image processors, and torchvision's transforms as MU-Bench uses them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/image_file.hpp"
#include "data/resize.hpp"

namespace expunge::data {

struct ImageProcessor {
  // How `size` is meant.
  enum class Sizing {
    kNone,          // as it is
    kExact,         // height x width
    kShortestEdge,  // the shorter side; the longer one follows, rounded down
    kConvNext,      // shorter side edge / crop_share, then the middle edge x edge; from 384 on exactly edge x
                    // edge
    kVilt,  // shorter side, longer at most 1333/800 of it; both rounded, then down to a multiple of divisor
  } sizing = Sizing::kNone;
  std::int64_t height = 0, width = 0, edge = 0, divisor = 32;
  double crop_share = 1.0;
  Filter filter = Filter::kBilinear;
  bool center_crop = false;
  std::int64_t crop_height = 0, crop_width = 0;
  bool half_to_even = false;  // offsets of the crop: torchvision's rounding; else down
  bool rescale = true, normalize = true;
  double factor = 1.0 / 255.0;
  bool divide = false;  // pixel / 255 in single precision (torchvision) instead of pixel * factor in double
  std::vector<double> mean, deviation;  // one a channel
  std::int64_t channels = 3;

  // The 8-bit image after resizing and cropping.
  Image to_pixels(const Image& image) const;
  // [C, H, W] of such an image: (float(pixel * factor) - mean) / deviation in single precision.
  std::vector<float> to_floats(const Image& pixels) const;
};

// `place` is named in messages. DataError 65 for processors and settings that are not known.
ImageProcessor parse_image_processor(const nlohmann::json& config, const std::string& place);
ImageProcessor read_image_processor(const std::filesystem::path& preprocessor_config_json);

// MU-Bench's evaluation transforms: Resize(size), bilinear whatever the processor says, and CenterCrop(size);
// `exact`: to edge x edge without a crop's loss.
ImageProcessor torchvision_processor(std::int64_t edge, bool exact, std::vector<double> mean,
                                     std::vector<double> deviation);

// The middle height x width; offsets rounded down, zeros where the image is smaller.
Image center_crop(const Image& image, std::int64_t height, std::int64_t width, bool half_to_even);

}  // namespace expunge::data
