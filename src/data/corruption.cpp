#include "data/corruption.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.hpp"
#include "core/rng.hpp"

namespace expunge::data {
namespace {

// Values in [0, 1], [C, H, W].
struct Picture {
  std::int64_t channels, height, width;
  std::vector<double> values;
  std::int64_t plane() const { return height * width; }
};

// Draws of one image; `index` is a position in it.
struct Draws {
  Rng rng;
  std::uint64_t image;
  double normal(std::size_t index) const { return rng.normal(image, index); }
  double uniform(std::size_t index) const { return rng.uniform(image, index); }
};

void gaussian_noise(Picture& x, double sd, const Draws& draws) {
  for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] += sd * draws.normal(i);
}

void speckle_noise(Picture& x, double sd, const Draws& draws) {
  for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] += x.values[i] * sd * draws.normal(i);
}

// Photons: Poisson(x rate) / rate, by inversion.
void shot_noise(Picture& x, double rate, const Draws& draws) {
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    const double mean = x.values[i] * rate, u = draws.uniform(i);
    double probability = std::exp(-mean), below = probability;
    int photons = 0;
    while (below <= u && photons < 2000) {
      probability *= mean / ++photons;
      below += probability;
    }
    x.values[i] = photons / rate;
  }
}

// Salt and pepper, half each, on single values.
void impulse_noise(Picture& x, double share, const Draws& draws) {
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    const double u = draws.uniform(i);
    if (u < share) x.values[i] = u < share / 2 ? 0.0 : 1.0;
  }
}

// Along one axis; pixels beyond the border repeat it.
void blur_lines(const std::vector<double>& weights, std::int64_t lines, std::int64_t length,
                std::int64_t line_stride, std::int64_t stride, double* values) {
  const auto radius = static_cast<std::int64_t>(weights.size()) / 2;
  std::vector<double> line(static_cast<std::size_t>(length));
  for (std::int64_t l = 0; l < lines; ++l) {
    double* at = values + l * line_stride;
    for (std::int64_t i = 0; i < length; ++i) line[static_cast<std::size_t>(i)] = at[i * stride];
    for (std::int64_t i = 0; i < length; ++i) {
      double sum = 0;
      for (std::int64_t k = -radius; k <= radius; ++k)
        sum += weights[static_cast<std::size_t>(k + radius)] *
               line[static_cast<std::size_t>(std::clamp<std::int64_t>(i + k, 0, length - 1))];
      at[i * stride] = sum;
    }
  }
}

void gaussian_blur(Picture& x, double sigma, const Draws&) {
  const auto radius = static_cast<int>(4 * sigma + 0.5);
  std::vector<double> weights;
  double total = 0;
  for (int k = -radius; k <= radius; ++k) {
    weights.push_back(std::exp(-0.5 * k * k / (sigma * sigma)));
    total += weights.back();
  }
  for (double& w : weights) w /= total;
  for (std::int64_t c = 0; c < x.channels; ++c) {
    double* plane = x.values.data() + c * x.plane();
    blur_lines(weights, x.width, x.height, 1, x.width, plane);
    blur_lines(weights, x.height, x.width, x.width, 1, plane);
  }
}

// Towards the mean of each channel.
void contrast(Picture& x, double factor, const Draws&) {
  for (std::int64_t c = 0; c < x.channels; ++c) {
    double* plane = x.values.data() + c * x.plane();
    double mean = 0;
    for (std::int64_t i = 0; i < x.plane(); ++i) mean += plane[i];
    mean /= static_cast<double>(x.plane());
    for (std::int64_t i = 0; i < x.plane(); ++i) plane[i] = (plane[i] - mean) * factor + mean;
  }
}

// The value of hue, saturation and value is raised; hue and saturation stay.
void brightness(Picture& x, double add, const Draws&) {
  for (std::int64_t i = 0; i < x.plane(); ++i) {
    double value = 0;
    for (std::int64_t c = 0; c < x.channels; ++c)
      value = std::max(value, x.values[static_cast<std::size_t>(c * x.plane() + i)]);
    const double raised = std::clamp(value + add, 0.0, 1.0);
    for (std::int64_t c = 0; c < x.channels; ++c) {
      double& v = x.values[static_cast<std::size_t>(c * x.plane() + i)];
      v = value > 0 ? v * raised / value : raised;
    }
  }
}

struct Kind {
  const char* name;
  std::array<double, 5> strengths;  // of severities 1 to 5
  void (*apply)(Picture&, double, const Draws&);
};

const std::array<Kind, 7> kKinds = {{
    {"gaussian_noise", {.04, .06, .08, .09, .10}, gaussian_noise},
    {"shot_noise", {500, 250, 100, 75, 50}, shot_noise},
    {"impulse_noise", {.01, .02, .03, .05, .07}, impulse_noise},
    {"speckle_noise", {.06, .1, .12, .16, .2}, speckle_noise},
    {"gaussian_blur", {.4, .6, .7, .8, 1}, gaussian_blur},
    {"contrast", {.75, .5, .4, .3, .15}, contrast},
    {"brightness", {.05, .1, .15, .2, .3}, brightness},
}};
constexpr const char* kMixed = "mixed";

// Position in kKinds and severity - 1; nothing for anything else.
bool parse(const std::string& text, std::size_t& kind, std::size_t& severity) {
  for (kind = 0; kind < kKinds.size(); ++kind)
    for (severity = 0; severity < 5; ++severity)
      if (text == fmt::format("{}:{}", kKinds[kind].name, severity + 1)) return true;
  return false;
}

}  // namespace

const std::vector<std::string>& corruption_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const auto& kind : kKinds) out.emplace_back(kind.name);
    return out;
  }();
  return names;
}

bool is_corruption(const std::string& text) {
  std::size_t kind = 0, severity = 0;
  return text == kMixed || parse(text, kind, severity);
}

void corrupt(const std::string& text, std::int64_t count, std::int64_t channels, std::int64_t height,
             std::int64_t width, std::uint8_t* pixels) {
  std::size_t kind = 0, severity = 0;
  EXPUNGE_CHECK((channels == 1 || channels == 3) && is_corruption(text), "no corruption {} of {} channels",
                text, channels);
  const bool mixed = !parse(text, kind, severity);
  const Rng choice(0, "corruption");
  Picture x{channels, height, width, {}};
  const auto size = static_cast<std::size_t>(channels * height * width);
  for (std::int64_t n = 0; n < count; ++n) {
    std::uint8_t* at = pixels + static_cast<std::size_t>(n) * size;
    const auto image = static_cast<std::uint64_t>(n);
    if (mixed) {
      kind = choice.below(kKinds.size(), image, 0);
      severity = choice.below(5, image, 1);
    }
    x.values.assign(at, at + size);
    for (double& v : x.values) v /= 255;
    kKinds[kind].apply(x, kKinds[kind].strengths[severity],
                       {choice.sub(kKinds[kind].name).sub(severity), image});
    for (std::size_t i = 0; i < size; ++i)  // cut off, not rounded: as published
      at[i] = static_cast<std::uint8_t>(std::clamp(x.values[i], 0.0, 1.0) * 255);
  }
}

}  // namespace expunge::data
