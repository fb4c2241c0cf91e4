// Corruptions against their formulas: exact where they are exact, moments over many pixels where they draw.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "data/corruption.hpp"

namespace expunge::data {
namespace {

using Pixels = std::vector<std::uint8_t>;

Pixels corrupted(const std::string& name, Pixels pixels, std::int64_t count, std::int64_t channels,
                 std::int64_t height, std::int64_t width) {
  corrupt(name, count, channels, height, width, pixels.data());
  return pixels;
}

struct Moments {
  double mean = 0, deviation = 0;
};
Moments moments(const Pixels& pixels) {
  double sum = 0, squares = 0;
  for (const auto p : pixels) sum += p / 255.0, squares += p / 255.0 * (p / 255.0);
  const auto n = static_cast<double>(pixels.size());
  return {sum / n, std::sqrt(squares / n - sum / n * (sum / n))};
}

TEST(Corruption, NamesWithTheirSeveritiesAreKnown) {
  EXPECT_EQ(corruption_names().size(), 7u);
  for (const auto& name : corruption_names())
    for (int severity = 1; severity <= 5; ++severity)
      EXPECT_TRUE(is_corruption(name + ":" + std::to_string(severity)));
  EXPECT_TRUE(is_corruption("mixed"));
  for (const char* wrong : {"", "contrast", "contrast:0", "contrast:6", "fog:1", "mixed:1"})
    EXPECT_FALSE(is_corruption(wrong)) << wrong;
}

TEST(Corruption, ContrastPullsTowardsTheMeanOfAChannel) {
  // Mean 100; factor 0.4 at severity 3: 100 -+ 0.4 * 50, cut off to a byte.
  EXPECT_EQ(corrupted("contrast:3", {50, 150}, 1, 1, 1, 2), (Pixels{80, 120}));
  // Each channel has its own mean.
  EXPECT_EQ(corrupted("contrast:3", {50, 150, 10, 10, 0, 200}, 1, 3, 1, 2),
            (Pixels{80, 120, 10, 10, 60, 140}));
}

TEST(Corruption, BrightnessRaisesTheValueAndKeepsTheHue) {
  EXPECT_EQ(corrupted("brightness:5", {0, 100, 250}, 1, 1, 1, 3), (Pixels{76, 176, 255}));  // + 0.3 * 255
  // (100, 50, 0): the value 100/255 becomes 100/255 + 0.3; the others in proportion.
  EXPECT_EQ(corrupted("brightness:5", {100, 50, 0}, 1, 3, 1, 1), (Pixels{176, 88, 0}));
}

TEST(Corruption, BlurSpreadsAPointByItsKernel) {
  constexpr int kSize = 21;
  Pixels point(kSize * kSize, 0);
  point[10 * kSize + 10] = 255;
  const auto blurred = corrupted("gaussian_blur:5", point, 1, 1, kSize, kSize);  // sigma 1
  double total = 0;
  for (int k = -4; k <= 4; ++k) total += std::exp(-0.5 * k * k);
  for (int dy = -2; dy <= 2; ++dy)
    for (int dx = -2; dx <= 2; ++dx)
      EXPECT_EQ(blurred[static_cast<std::size_t>((10 + dy) * kSize + 10 + dx)],
                static_cast<int>(255 * std::exp(-0.5 * (dx * dx + dy * dy)) / (total * total)))
          << dy << " " << dx;
  EXPECT_NEAR(corrupted("gaussian_blur:5", Pixels(25, 90), 1, 1, 5, 5)[12], 90, 1);  // flat stays flat
}

TEST(Corruption, NoiseHasItsMoments) {
  const Pixels grey(100000, 128);
  const double x = 128 / 255.0;
  const auto noise = [&](const char* name) { return moments(corrupted(name, grey, 1, 1, 1000, 100)); };
  // Cutting off takes half a grey level off the mean.
  for (const auto& [name, deviation] : {std::pair{"gaussian_noise:5", 0.10},
                                        {"gaussian_noise:1", 0.04},
                                        {"speckle_noise:5", 0.2 * x},
                                        {"shot_noise:5", std::sqrt(x / 50)},
                                        {"shot_noise:1", std::sqrt(x / 500)}}) {
    const auto m = noise(name);
    EXPECT_NEAR(m.mean, x - 0.5 / 255, 0.002) << name;
    EXPECT_NEAR(m.deviation, deviation, 0.01 * deviation + 0.0005) << name;
  }
  const auto impulse = corrupted("impulse_noise:5", grey, 1, 1, 1000, 100);
  const auto share = [&](int value) {
    return static_cast<double>(std::count(impulse.begin(), impulse.end(), value)) / 100000;
  };
  EXPECT_NEAR(share(0), 0.035, 0.002);
  EXPECT_NEAR(share(255), 0.035, 0.002);
  EXPECT_NEAR(share(128), 0.93, 0.003);
}

TEST(Corruption, IsAFunctionOfTheImagesPosition) {
  const Pixels two(2 * 64, 100);
  const auto a = corrupted("gaussian_noise:3", two, 2, 1, 8, 8),
             b = corrupted("gaussian_noise:3", two, 2, 1, 8, 8);
  EXPECT_EQ(a, b);
  EXPECT_NE(Pixels(a.begin(), a.begin() + 64), Pixels(a.begin() + 64, a.end()));
  EXPECT_EQ(corrupted("gaussian_noise:3", Pixels(64, 100), 1, 1, 8, 8), Pixels(a.begin(), a.begin() + 64));
}

TEST(Corruption, MixedTakesAllKinds) {
  // Flat images tell the kinds apart: contrast and blur leave them flat, brightness lifts them.
  constexpr std::int64_t kCount = 700;
  const auto mixed = corrupted("mixed", Pixels(kCount * 64, 100), kCount, 1, 8, 8);
  int flat = 0, lifted = 0, noisy = 0;
  for (std::int64_t n = 0; n < kCount; ++n) {
    const auto begin = mixed.begin() + n * 64;
    const bool same = std::all_of(begin, begin + 64, [&](auto p) { return p == *begin; });
    lifted += same && *begin > 105;
    flat += same && *begin <= 105;
    noisy += !same;
  }
  EXPECT_NEAR(lifted, kCount / 7.0, 35);
  EXPECT_NEAR(flat, 2 * kCount / 7.0, 45);
  EXPECT_NEAR(noisy, 4 * kCount / 7.0, 50);
}

}  // namespace
}  // namespace expunge::data
