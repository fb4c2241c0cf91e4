// PNG and JPEG files to 8-bit images. Conversions, the same on every machine:
//   palette and 1, 2, 4-bit grey are expanded to 8 bits; 16-bit samples keep their upper byte; alpha and
//   transparency are dropped, not blended; gamma and colour profiles, Exif orientation are ignored; grey to
//   RGB repeats the value; RGB to grey is ITU-R BT.601 luma, round(.299 R + .587 G + .114 B) in 16-bit fixed
//   point; JPEG: libjpeg's slow integer DCT and its default upsampling; YCbCr to grey is the Y channel; CMYK
//   and YCCK become RGB as in Pillow, with Adobe's inverted inks. Of an animated PNG the default image is
//   taken; other kinds of files (GIF, WebP, TIFF, BMP) and empty files are refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace expunge::data {

struct Image {
  std::int64_t channels = 0, height = 0, width = 0;  // channels 1 or 3
  std::vector<std::uint8_t> pixels;                  // [H, W, C]
};

constexpr std::int64_t kMostPixelsASide = 8192;

bool is_image_name(const std::filesystem::path& file);  // .png, .jpg, .jpeg, any case

// `channels`: 1, 3, or 0 for the file's own. DataError 65 with the file's name for anything that is not a
// whole PNG or JPEG.
Image read_image(const std::filesystem::path& file, std::int64_t channels);
Image read_image_shape(const std::filesystem::path& file);  // header only; no pixels

}  // namespace expunge::data
