#include "data/image_file.hpp"

#include <algorithm>
#include <cctype>

#include "core/error.hpp"
#include "core/files.hpp"
#include "data/image_codecs.hpp"

namespace expunge::data {
namespace {

Image decode(const fs::path& file, bool shape_only, std::int64_t channels) {
  const std::string bytes = read_file(file);
  Image image;
  std::string problem, kind;
  if (bytes.empty()) throw DataError::corrupt(fmt::format("{}: empty file", file.string()));
  if (bytes.starts_with("\x89PNG")) {
    kind = "PNG";
    problem = decode_png(bytes, shape_only, image);
  } else if (bytes.starts_with("\xff\xd8")) {
    kind = "JPEG";
    problem = decode_jpeg(bytes, shape_only, channels == 1, image);
  } else {
    throw DataError::corrupt(fmt::format("{}: neither a PNG nor a JPEG file", file.string()));
  }
  if (!problem.empty())
    throw DataError::corrupt(fmt::format("{}: damaged {}: {}", file.string(), kind, problem));
  return image;
}

void to_channels(Image& image, std::int64_t channels) {
  if (channels == 0 || channels == image.channels) return;
  const auto count = static_cast<std::size_t>(image.height * image.width);
  std::vector<std::uint8_t> out;
  out.reserve(count * static_cast<std::size_t>(channels));
  const std::uint8_t* p = image.pixels.data();
  for (std::size_t i = 0; i < count; ++i) {
    if (channels == 3) {
      out.insert(out.end(), 3, p[i]);
    } else {
      const std::uint32_t luma = 19595u * p[3 * i] + 38470u * p[3 * i + 1] + 7471u * p[3 * i + 2];
      out.push_back(static_cast<std::uint8_t>((luma + 0x8000u) >> 16));
    }
  }
  image.pixels = std::move(out);
  image.channels = channels;
}

}  // namespace

bool is_image_name(const fs::path& file) {
  std::string extension = file.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

Image read_image(const fs::path& file, std::int64_t channels) {
  Image image = decode(file, false, channels);
  to_channels(image, channels);
  return image;
}

Image read_image_shape(const fs::path& file) { return decode(file, true, 0); }

}  // namespace expunge::data
