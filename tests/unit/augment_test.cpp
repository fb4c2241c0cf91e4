// load_image: normalisation, crop and flip by hand, and their key.
#include <cmath>
#include <map>

#include "core/rng.hpp"
#include "data/split.hpp"
#include "tests/unit/data_fixture.hpp"

namespace expunge::data {
namespace {

// Two channels, 3 x 4 pixels: value 10 * (channel + 1) + position.
FakeDataset small_image() {
  FakeDataset data(100, 10, 2);
  data.info_.channels = 2;
  data.info_.height = 3;
  data.info_.width = 4;
  data.info_.mean = {0, 0.5};
  data.info_.deviation = {1, 0.25};
  data.image.clear();
  for (int c = 0; c < 2; ++c)
    for (int i = 0; i < 12; ++i) data.image.push_back(static_cast<std::uint8_t>(100 * c + 10 + i));
  return data;
}

std::vector<float> load(const Dataset& data, std::int64_t id, const DataOptions& options, std::uint64_t seed,
                        std::int64_t pass) {
  std::vector<float> out(24, -99.0f);
  load_image(data, Side::kTrain, id, options, seed, pass, out.data());
  return out;
}

TEST(LoadImage, Normalises) {
  const FakeDataset data = small_image();
  const auto out = load(data, 0, {}, 1, 0);
  EXPECT_FLOAT_EQ(out[0], 10.0f / 255);
  EXPECT_FLOAT_EQ(out[11], 21.0f / 255);
  EXPECT_FLOAT_EQ(out[12], (110.0f / 255 - 0.5f) / 0.25f);
  EXPECT_FLOAT_EQ(out[23], (121.0f / 255 - 0.5f) / 0.25f);
}

TEST(LoadImage, EvaluationIsNeverAugmented) {
  const FakeDataset data = small_image();
  const DataOptions strong{.augment_crop = 3, .augment_flip = true};
  const auto plain = load(data, 0, {}, 1, -1);
  for (std::int64_t id = 0; id < 20; ++id) EXPECT_EQ(load(data, id, strong, 7, -1), plain);
}

TEST(LoadImage, FlipReversesRows) {
  const FakeDataset data = small_image();
  const auto plain = load(data, 0, {}, 1, -1);
  int flipped = 0;
  for (std::int64_t id = 0; id < 100; ++id) {
    const auto out = load(data, id, {.augment_flip = true}, 1, 0);
    if (out == plain) continue;
    ++flipped;
    for (int row = 0; row < 6; ++row)
      for (int x = 0; x < 4; ++x)
        ASSERT_EQ(out[static_cast<std::size_t>(row * 4 + x)],
                  plain[static_cast<std::size_t>(row * 4 + 3 - x)]);
  }
  EXPECT_GT(flipped, 30);
  EXPECT_LT(flipped, 70);
}

// Every crop is the image shifted by whole pixels, with normalised zeros moving in; all 9 shifts of padding 1
// occur.
TEST(LoadImage, CropShiftsWithNormalisedZeros) {
  const FakeDataset data = small_image();
  const auto plain = load(data, 0, {}, 1, -1);
  std::map<std::pair<int, int>, int> seen;
  for (std::int64_t id = 0; id < 100; ++id) {
    const auto out = load(data, id, {.augment_crop = 1}, 1, 0);
    for (int down = -1; down <= 1; ++down)
      for (int right = -1; right <= 1; ++right) {
        bool equal = true;
        for (int c = 0; c < 2; ++c)
          for (int y = 0; y < 3; ++y)
            for (int x = 0; x < 4; ++x) {
              const int from_y = y + down, from_x = x + right;
              const bool inside = from_y >= 0 && from_y < 3 && from_x >= 0 && from_x < 4;
              const float expected = inside ? plain[static_cast<std::size_t>(c * 12 + from_y * 4 + from_x)]
                                            : (c == 0 ? 0.0f : -2.0f);
              equal = equal && out[static_cast<std::size_t>(c * 12 + y * 4 + x)] == expected;
            }
        if (equal) ++seen[{down, right}];
      }
  }
  int total = 0;
  for (const auto& [shift, count] : seen) total += count;
  EXPECT_EQ(total, 100);
  EXPECT_EQ(seen.size(), 9u);
}

TEST(LoadImage, IsKeyedBySeedSampleAndPass) {
  const FakeDataset data = small_image();
  const DataOptions strong{.augment_crop = 3, .augment_flip = true};
  EXPECT_EQ(load(data, 5, strong, 1, 2), load(data, 5, strong, 1, 2));
  int same_pass = 0, same_seed = 0, same_sample = 0;
  for (std::int64_t id = 0; id < 50; ++id) {
    const auto out = load(data, id, strong, 1, 2);
    same_pass += out == load(data, id, strong, 1, 3);
    same_seed += out == load(data, id, strong, 2, 2);
    same_sample += out == load(data, id + 50, strong, 1, 2);
  }
  EXPECT_LT(same_pass, 10);  // of 98 equally likely views about one half of an image in 50 repeats
  EXPECT_LT(same_seed, 10);
  EXPECT_LT(same_sample, 10);
}

// The documented draw, recomputed.
TEST(LoadImage, FollowsTheDocumentedDraw) {
  const FakeDataset data = small_image();
  const auto plain = load(data, 0, {}, 1, -1);
  const Rng rng = Rng(42, "augment").sub(std::uint64_t{3});
  for (std::int64_t id = 0; id < 20; ++id) {
    const auto item = static_cast<std::uint64_t>(id);
    const int down = static_cast<int>(rng.below(5, item, 0)) - 2,
              right = static_cast<int>(rng.below(5, item, 1)) - 2;
    const bool flip = rng.below(2, item, 2) == 1;
    const auto out = load(data, id, {.augment_crop = 2, .augment_flip = true}, 42, 3);
    for (int y = 0; y < 3; ++y)
      for (int x = 0; x < 4; ++x) {
        const int from_y = y + down, from_x = (flip ? 3 - x : x) + right;
        const bool inside = from_y >= 0 && from_y < 3 && from_x >= 0 && from_x < 4;
        EXPECT_EQ(out[static_cast<std::size_t>(y * 4 + x)],
                  inside ? plain[static_cast<std::size_t>(from_y * 4 + from_x)] : 0.0f);
      }
  }
}

}  // namespace
}  // namespace expunge::data
