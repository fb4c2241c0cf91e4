#include "data/resize.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "core/error.hpp"
#include "data/resize_passes.hpp"

namespace expunge::data {
namespace {

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

// The filters' kernels, as Pillow computes them.
double kernel(Filter filter, double x) {
  switch (filter) {
    case Filter::kBox:
      return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
    case Filter::kBilinear:
      x = std::abs(x);
      return x < 1.0 ? 1.0 - x : 0.0;
    case Filter::kHamming:
      x = std::abs(x);
      if (x == 0.0) return 1.0;
      if (x >= 1.0) return 0.0;
      x *= std::numbers::pi;
      return std::sin(x) / x * (0.54 + 0.46 * std::cos(x));
    case Filter::kBicubic: {
      constexpr double a = -0.5;
      x = std::abs(x);
      if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
      return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
    }
    case Filter::kLanczos:
      return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
    case Filter::kNearest:
      break;
  }
  return 0.0;
}

double support_of(Filter filter) {
  switch (filter) {
    case Filter::kBox:
      return 0.5;
    case Filter::kBicubic:
      return 2.0;
    case Filter::kLanczos:
      return 3.0;
    default:
      return 1.0;
  }
}

// The weights of a pass from `in` pixels, of which [begin, end) are taken, to `out` pixels.
Taps taps_of(std::int64_t in, double begin, double end, std::int64_t out, Filter filter) {
  const double scale = (end - begin) / static_cast<double>(out), widened = std::max(scale, 1.0);
  const double support = support_of(filter) * widened, inverse = 1.0 / widened;
  Taps taps;
  taps.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.stride = (taps.stride + 3) / 4 * 4;
  taps.first.resize(static_cast<std::size_t>(out));
  taps.count.resize(static_cast<std::size_t>(out));
  taps.weights.assign(static_cast<std::size_t>(out) * static_cast<std::size_t>(taps.stride), 0);
  std::vector<double> row(static_cast<std::size_t>(taps.stride));
  for (std::int64_t i = 0; i < out; ++i) {
    const double center = begin + (static_cast<double>(i) + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int count = std::min(static_cast<int>(in), static_cast<int>(center + support + 0.5)) - first;
    double sum = 0;
    for (int x = 0; x < count; ++x)
      sum += row[static_cast<std::size_t>(x)] = kernel(filter, (x + first - center + 0.5) * inverse);
    taps.first[static_cast<std::size_t>(i)] = first;
    taps.count[static_cast<std::size_t>(i)] = count;
    for (int x = 0; x < count; ++x) {
      double weight = row[static_cast<std::size_t>(x)];
      if (sum != 0.0) weight /= sum;
      taps.weights[static_cast<std::size_t>(i * taps.stride + x)] =
          static_cast<std::int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << kPrecision));
    }
  }
  return taps;
}

// Nearest: the pixel under the target pixel's centre; positions are summed up, as Pillow does.
std::vector<std::int64_t> nearest_places(std::int64_t in, double begin, double end, std::int64_t out) {
  const double scale = (end - begin) / static_cast<double>(out);
  std::vector<std::int64_t> places;
  double at = begin + scale * 0.5;
  for (std::int64_t i = 0; i < out; ++i, at += scale)
    places.push_back(std::clamp<std::int64_t>(at < 0 ? -1 : static_cast<std::int64_t>(at), 0, in - 1));
  return places;
}

Image nearest(const Image& image, std::int64_t height, std::int64_t width, const Box& box) {
  const auto rows = nearest_places(image.height, box.top, box.bottom, height);
  const auto columns = nearest_places(image.width, box.left, box.right, width);
  Image out{image.channels, height, width, {}};
  out.pixels.reserve(static_cast<std::size_t>(height * width * image.channels));
  for (const auto y : rows)
    for (const auto x : columns) {
      const auto* pixel = image.pixels.data() + (y * image.width + x) * image.channels;
      out.pixels.insert(out.pixels.end(), pixel, pixel + image.channels);
    }
  return out;
}

}  // namespace

Image resize(const Image& image, std::int64_t height, std::int64_t width, Filter filter) {
  return resize(image, height, width, filter,
                {0, 0, static_cast<double>(image.width), static_cast<double>(image.height)});
}

Image resize(const Image& image, std::int64_t height, std::int64_t width, Filter filter, const Box& box) {
  EXPUNGE_CHECK(height > 0 && width > 0 && image.channels > 0 && image.channels <= 4,
                "resize to {} x {} of {} channels", width, height, image.channels);
  EXPUNGE_CHECK(box.left >= 0 && box.top >= 0 && box.right <= static_cast<double>(image.width) &&
                    box.bottom <= static_cast<double>(image.height) && box.left < box.right &&
                    box.top < box.bottom,
                "the box {} {} {} {} is not inside {} x {} pixels", box.left, box.top, box.right, box.bottom,
                image.width, image.height);
  const bool across = width != image.width || box.left != 0 || box.right != static_cast<double>(width);
  const bool down = height != image.height || box.top != 0 || box.bottom != static_cast<double>(height);
  if (!across && !down) return image;
  if (filter == Filter::kNearest) return nearest(image, height, width, box);
  const Taps rows = taps_of(image.height, box.top, box.bottom, height, filter);
  // Rows that the vertical pass reads.
  const std::int64_t first = down ? rows.first.front() : 0,
                     last = down ? rows.first.back() + rows.count.back() : image.height;
  Image between{image.channels, last - first, width, {}};
  const std::uint8_t* source = image.pixels.data() + first * image.width * image.channels;
  if (across) {
    between.pixels.resize(static_cast<std::size_t>(between.height * width * image.channels));
    pass_across(source, image.pixels.data() + image.pixels.size(), image.width, between.height,
                image.channels, taps_of(image.width, box.left, box.right, width, filter),
                between.pixels.data());
    if (!down) return between;
    source = between.pixels.data();
  }
  Image out{image.channels, height, width, {}};
  out.pixels.resize(static_cast<std::size_t>(height * width * image.channels));
  pass_down(source, width * image.channels, static_cast<int>(first), rows, out.pixels.data());
  return out;
}

Image crop(const Image& image, std::int64_t top, std::int64_t left, std::int64_t height, std::int64_t width) {
  Image out{image.channels, height, width, {}};
  out.pixels.assign(static_cast<std::size_t>(height * width * image.channels), 0);
  const std::int64_t begin = std::max<std::int64_t>(left, 0), end = std::min(left + width, image.width);
  for (std::int64_t y = std::max<std::int64_t>(top, 0);
       begin < end && y < std::min(top + height, image.height); ++y)
    std::memcpy(out.pixels.data() + ((y - top) * width + begin - left) * image.channels,
                image.pixels.data() + (y * image.width + begin) * image.channels,
                static_cast<std::size_t>((end - begin) * image.channels));
  return out;
}

}  // namespace expunge::data
