// Resizing 8-bit images with Pillow's arithmetic, bit for bit (Pillow 9.4 to 12.3): the horizontal pass
// first, rounded to 8 bits, then the vertical one; coefficients in 22-bit fixed point; when a side shrinks
// its filter is as much wider (antialias). A pass is left out where that side stays as it is.
#pragma once

#include <cstdint>

#include "data/image_file.hpp"

namespace expunge::data {

// In the order of Pillow's and preprocessor_config.json's numbers 0 to 5.
enum class Filter { kNearest = 0, kLanczos = 1, kBilinear = 2, kBicubic = 3, kBox = 4, kHamming = 5 };

// A part of an image, in pixels; right and bottom are behind it.
struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;
};

// `image` with its own number of channels (1 to 4). Sizes at least 1; the box inside the image.
Image resize(const Image& image, std::int64_t height, std::int64_t width, Filter filter);
Image resize(const Image& image, std::int64_t height, std::int64_t width, Filter filter, const Box& box);

// Rows top to top + height, columns left to left + width; what lies outside the image is zero.
Image crop(const Image& image, std::int64_t top, std::int64_t left, std::int64_t height, std::int64_t width);

}  // namespace expunge::data
