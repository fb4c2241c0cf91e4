// Image-caption pairs: hashing of words and reduction of images by hand, the reader on a hand-made folder,
// deletion of whole images.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "core/hash.hpp"
#include "data/caption.hpp"
#include "data/split.hpp"
#include "tests/unit/data_fixture.hpp"
#include "tests/unit/hand_made_images.hpp"

namespace expunge::data {
namespace {

TEST(HashedWords, AreLowerCaseBoundedAndPadded) {
  const auto id = [](const std::string& word) { return 1 + xxh64(word.data(), word.size()) % 99; };
  const auto ids = hash_words("A dog, a DOG2 !", 6, 100);
  EXPECT_EQ(ids, (std::vector<std::uint16_t>{
                     static_cast<std::uint16_t>(id("a")), static_cast<std::uint16_t>(id("dog")),
                     static_cast<std::uint16_t>(id("a")), static_cast<std::uint16_t>(id("dog2")), 0, 0}));
  EXPECT_EQ(hash_words("one two three", 2, 100).size(), 2u);
  EXPECT_EQ(hash_words("", 2, 100), (std::vector<std::uint16_t>{0, 0}));
}

TEST(ResizeArea, AveragesWhatAPixelCovers) {
  // 2 x 4 pixels of one channel to 1 x 2: means of 2 x 2 blocks; to 2 x 3: thirds of pixels.
  const Image image{1, 2, 4, {0, 10, 20, 30, 40, 50, 60, 73}};
  EXPECT_EQ(resize_area(image, 1, 2), (std::vector<std::uint8_t>{25, 46}));  // 45.75 rounds up
  EXPECT_EQ(resize_area(image, 2, 4), image.pixels);
  // Each of 3 columns covers 4/3 pixels: (0 + 10/3) / (4/3) = 2.5 -> 3, (2/3 (10 + 20)) / (4/3) = 15, 27.5
  // -> 28.
  const auto thirds = resize_area(image, 2, 3);
  EXPECT_EQ(std::vector<std::uint8_t>(thirds.begin(), thirds.begin() + 3),
            (std::vector<std::uint8_t>{3, 15, 28}));
  const Image colour{2, 1, 2, {1, 100, 3, 200}};
  EXPECT_EQ(resize_area(colour, 1, 1), (std::vector<std::uint8_t>{2, 150}));  // channels come apart
}

class Flickr8k : public DataTest {
 protected:
  // Photos of 32 x 32 equal pixels; two captions each.
  fs::path make(int train, int test) {
    std::string captions, lists[3];
    for (int i = 0; i < train + test; ++i) {
      const std::string name = "photo" + std::to_string(i) + ".png";
      const std::vector<std::string> rows(32, std::string(96, static_cast<char>(i)));
      write("flickr8k/Images/" + name, png_file(32, rows, 8, 2));
      for (int k = 0; k < 2; ++k)
        captions += name + "#" + std::to_string(k) + "\tCaption " + std::to_string(k) + " of photo" +
                    std::to_string(i) + " .\n";
      lists[i >= train ? 2 : i % 2] += name + "\n";
    }
    captions += "absent.png#0\tNobody has this photo .\n";
    lists[0] += "absent.png\n";
    write("flickr8k/Flickr8k_text/Flickr8k.token.txt", captions);
    write("flickr8k/Flickr8k_text/Flickr_8k.trainImages.txt", lists[0]);
    write("flickr8k/Flickr8k_text/Flickr_8k.devImages.txt", lists[1]);
    return write("flickr8k/Flickr8k_text/Flickr_8k.testImages.txt", lists[2]).parent_path().parent_path();
  }
};

TEST_F(Flickr8k, GivesEachCaptionItsPhotoAndAnotherOne) {
  const auto root = make(6, 3);
  const auto dataset = open("flickr8k", {{"path", root.string()}});
  EXPECT_EQ(dataset->size(Side::kTrain), 24);
  EXPECT_EQ(dataset->size(Side::kTest), 12);
  EXPECT_EQ(describe("flickr8k", {{"path", root.string()}}).train_size, 24);
  std::set<int> own, other;
  for (std::int64_t i = 0; i < 24; ++i) {
    std::vector<std::int64_t> tokens(24), pair(24);
    read_caption(*dataset, Side::kTrain, i, tokens.data());
    read_caption(*dataset, Side::kTrain, i ^ 1, pair.data());
    EXPECT_EQ(tokens, pair);  // the same caption twice, next to one another
    EXPECT_EQ(dataset->label(Side::kTrain, i), i % 2 == 0);
    const int photo = dataset->pixels(Side::kTrain, i)[0];
    EXPECT_EQ(dataset->pixels(Side::kTrain, i)[3 * 32 * 32 - 1], photo);
    EXPECT_LT(photo, 6);
    if (i % 2 == 1) {
      EXPECT_NE(image_of(*dataset, Side::kTrain, i), image_of(*dataset, Side::kTrain, i - 1));
    }
    // "caption k of photoN": the fourth word names the photo that label 1 shows.
    const std::string name = "photo" + std::to_string(photo);
    EXPECT_EQ(tokens[3] == static_cast<std::int64_t>(1 + xxh64(name.data(), name.size()) % 2047), i % 2 == 0);
    (i % 2 == 0 ? own : other).insert(photo);
  }
  EXPECT_EQ(own.size(), 6u);
  EXPECT_GT(other.size(), 1u);
}

TEST_F(Flickr8k, ForgetsImagesWithAllTheirPairs) {
  const auto dataset = open("flickr8k", {{"path", make(10, 3).string()}});
  DataOptions options;
  options.unit = "image";
  std::set<std::int64_t> before;
  for (const double ratio : {0.1, 0.3, 0.5}) {
    const auto splits = make_splits(*dataset, options, Ratio::parse(ratio));
    std::set<std::int64_t> forgotten;
    for (auto id : splits.forget) forgotten.insert(image_of(*dataset, Side::kTrain, id));
    EXPECT_EQ(forgotten.size(), static_cast<std::size_t>(std::lround(10 * ratio)));
    for (auto id : splits.retain) EXPECT_FALSE(forgotten.count(image_of(*dataset, Side::kTrain, id)));
    EXPECT_EQ(splits.forget.size() + splits.retain.size(), 40u);
    for (auto id : before) EXPECT_TRUE(std::count(splits.forget.begin(), splits.forget.end(), id));
    before = {splits.forget.begin(), splits.forget.end()};
  }
}

TEST_F(Flickr8k, SaysWhatIsWrong) {
  const auto root = make(3, 2);
  write("flickr8k/Flickr8k_text/Flickr8k.token.txt", "photo0.png without a number\n");
  try {
    open("flickr8k", {{"path", root.string()}});
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("Flickr8k.token.txt:1: expected NAME#K"), std::string::npos)
        << error.what();
  }
  DataOptions options;
  options.unit = "image";
  EXPECT_THROW(split_sizes(find_reader("fashion_mnist")->info, options, Ratio::parse(0.1)), ConfigError);
}

}  // namespace
}  // namespace expunge::data
