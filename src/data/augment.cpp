#include "core/rng.hpp"
#include "data/split.hpp"

namespace expunge::data {

void load_image(const Dataset& dataset, Side side, std::int64_t id, const DataOptions& options,
                std::uint64_t seed, std::int64_t pass, float* out) {
  const Info& info = dataset.info();
  const std::int64_t height = info.height, width = info.width, plane = height * width;
  const std::uint8_t* pixels = dataset.pixels(side, id);
  std::int64_t down = 0, right = 0;  // the window's corner relative to the image; negative: into the padding
  bool flip = false;
  if (pass >= 0) {
    const Rng rng = Rng(seed, "augment").sub(static_cast<std::uint64_t>(pass));
    const auto item = static_cast<std::uint64_t>(id);
    if (options.augment_crop > 0) {
      const auto places = static_cast<std::uint64_t>(2 * options.augment_crop + 1);
      down = static_cast<std::int64_t>(rng.below(places, item, 0)) - options.augment_crop;
      right = static_cast<std::int64_t>(rng.below(places, item, 1)) - options.augment_crop;
    }
    flip = options.augment_flip && rng.below(2, item, 2) == 1;
  }
  for (std::int64_t c = 0; c < info.channels; ++c) {
    const auto mean = static_cast<float>(info.mean[static_cast<std::size_t>(c)]);
    const auto deviation = static_cast<float>(info.deviation[static_cast<std::size_t>(c)]);
    const float padding = (0.0f - mean) / deviation;
    for (std::int64_t y = 0; y < height; ++y) {
      const std::int64_t from_y = y + down;
      const bool row_inside = from_y >= 0 && from_y < height;
      const std::uint8_t* row = row_inside ? pixels + c * plane + from_y * width : nullptr;
      float* to = out + c * plane + y * width;
      if (down == 0 && right == 0 && !flip) {
        for (std::int64_t x = 0; x < width; ++x)
          to[x] = (static_cast<float>(row[x]) / 255.0f - mean) / deviation;
        continue;
      }
      for (std::int64_t x = 0; x < width; ++x) {
        const std::int64_t from_x = (flip ? width - 1 - x : x) + right;
        const bool inside = row_inside && from_x >= 0 && from_x < width;
        to[x] = inside ? (static_cast<float>(row[from_x]) / 255.0f - mean) / deviation : padding;
      }
    }
  }
}

}  // namespace expunge::data
