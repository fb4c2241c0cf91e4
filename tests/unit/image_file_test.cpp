// PNG and JPEG decoding: documented conversions, and damaged files.
#include "data/image_file.hpp"

#include "tests/unit/data_fixture.hpp"
#include "tests/unit/hand_made_images.hpp"

namespace expunge::data {
namespace {

using Pixels = std::vector<std::uint8_t>;

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int v : values) out += static_cast<char>(v);
  return out;
}

class ImageFile : public DataTest {
 protected:
  Image image(const std::string& name, const std::string& content, std::int64_t channels = 0) {
    return read_image(write(name, content), channels);
  }
  std::string problem(const std::string& name, const std::string& content) {
    const auto file = write(name, content);
    const std::string message = message_of(65, [&] { read_image(file, 0); });
    EXPECT_NE(message.find(file.string()), std::string::npos) << message;
    return message;
  }
};

TEST_F(ImageFile, GreyPng) {
  const Image grey = image("a.png", png_file(3, {bytes({1, 2, 3}), bytes({4, 5, 255})}, 8, 0));
  EXPECT_EQ(grey.channels, 1);
  EXPECT_EQ(grey.height, 2);
  EXPECT_EQ(grey.width, 3);
  EXPECT_EQ(grey.pixels, (Pixels{1, 2, 3, 4, 5, 255}));
  EXPECT_EQ(image("a.png", png_file(2, {bytes({1, 2})}, 8, 0), 3).pixels, (Pixels{1, 1, 1, 2, 2, 2}));
}

TEST_F(ImageFile, ColourPngAndItsLuma) {
  const std::string file = png_file(3, {bytes({255, 0, 0, 0, 255, 0, 10, 20, 30})}, 8, 2);
  EXPECT_EQ(image("a.png", file).pixels, (Pixels{255, 0, 0, 0, 255, 0, 10, 20, 30}));
  // .299 * 255 = 76.2; .587 * 255 = 149.7; .299 * 10 + .587 * 20 + .114 * 30 = 18.15
  EXPECT_EQ(image("a.png", file, 1).pixels, (Pixels{76, 150, 18}));
}

TEST_F(ImageFile, OtherPngKinds) {
  EXPECT_EQ(image("16.png", png_file(2, {bytes({0x12, 0xff, 0xab, 0x00})}, 16, 0)).pixels,
            (Pixels{0x12, 0xab}));
  const std::string palette = png_chunk("PLTE", bytes({1, 2, 3, 40, 50, 60}));
  EXPECT_EQ(image("palette.png", png_file(2, {bytes({1, 0})}, 8, 3, palette)).pixels,
            (Pixels{40, 50, 60, 1, 2, 3}));
  EXPECT_EQ(image("alpha.png", png_file(2, {bytes({9, 8, 7, 0, 6, 5, 4, 255})}, 8, 6)).pixels,
            (Pixels{9, 8, 7, 6, 5, 4}));
  EXPECT_EQ(image("grey_alpha.png", png_file(2, {bytes({9, 0, 8, 128})}, 8, 4)).pixels, (Pixels{9, 8}));
  const std::string transparent = palette + png_chunk("tRNS", bytes({0}));
  EXPECT_EQ(image("trns.png", png_file(2, {bytes({1, 0})}, 8, 3, transparent)).pixels,
            (Pixels{40, 50, 60, 1, 2, 3}));
  EXPECT_EQ(image("one_bit.png", png_file(4, {bytes({0xa0})}, 1, 0)).pixels, (Pixels{255, 0, 255, 0}));
}

TEST_F(ImageFile, Jpeg) {
  const Image grey = image("grey.jpg", grey_jpeg());
  ASSERT_EQ(grey.pixels.size(), 64u);
  for (std::size_t i = 0; i < 64; ++i) EXPECT_NEAR(grey.pixels[i], i % 8 < 4 ? 40 : 200, 1);
  const Image colour = image("colour.jpg", colour_jpeg());
  ASSERT_EQ(colour.channels, 3);
  for (std::size_t i = 0; i < 192; ++i)
    EXPECT_NEAR(colour.pixels[i], i % 3 == 0 ? 255 : i % 3 == 1 ? 60 : 0, 2);
  for (const auto y : image("colour.jpg", colour_jpeg(), 1).pixels)
    EXPECT_NEAR(y, 0.299 * 255 + 0.587 * 60, 1);
  EXPECT_EQ(image("grey.jpg", grey_jpeg(), 3).channels, 3);
}

TEST_F(ImageFile, ShapeWithoutPixels) {
  const Image shape =
      read_image_shape(write("a.png", png_file(3, {bytes({1, 2, 3}), bytes({4, 5, 6})}, 8, 0)));
  EXPECT_EQ(shape.width, 3);
  EXPECT_EQ(shape.height, 2);
  EXPECT_TRUE(shape.pixels.empty());
  EXPECT_EQ(read_image_shape(write("c.jpg", colour_jpeg())).channels, 3);
}

TEST_F(ImageFile, DamageIsNamed) {
  EXPECT_NE(problem("empty.png", "").find("empty file"), std::string::npos);
  EXPECT_NE(problem("text.png", "hello").find("neither a PNG nor a JPEG"), std::string::npos);
  const std::string good = png_file(3, {bytes({1, 2, 3}), bytes({4, 5, 6})}, 8, 0);
  std::string flipped = good;
  flipped[good.size() - 25] = static_cast<char>(flipped[good.size() - 25] ^ 1);  // inside IDAT
  EXPECT_NE(problem("flipped.png", flipped).find("damaged PNG"), std::string::npos);
  const std::string wide = png_file(20000, {std::string(20000, 'x')}, 8, 0);
  EXPECT_NE(problem("wide.png", wide).find("damaged PNG"), std::string::npos);
}

// Stored 50 in all four channels: 50 of 255 pass the black, 205 x 50 / 255 = 40 of these are taken by each
// colour.
TEST_F(ImageFile, CmykBecomesRgb) {
  const auto image = read_image(write("cmyk.jpg", cmyk_jpeg()), 0);
  EXPECT_EQ(image.channels, 3);
  EXPECT_EQ(image.pixels, std::vector<std::uint8_t>(8 * 8 * 3, 10));
}

// Every truncation is an error with the file's name, never a crash and never an image.
TEST_F(ImageFile, EveryTruncationIsAnError) {
  const std::string png = png_file(3, {bytes({1, 2, 3}), bytes({4, 5, 6})}, 8, 0);
  for (std::size_t n = 0; n < png.size(); ++n) problem("cut.png", png.substr(0, n));
  for (const std::string& jpeg : {grey_jpeg(), colour_jpeg()})
    for (std::size_t n = 0; n + 2 < jpeg.size(); ++n) problem("cut.jpg", jpeg.substr(0, n));
}

// Flipped bits may leave a valid image (JPEG has no checksum); they must not crash or leak another exception.
TEST_F(ImageFile, FlippedBitsNeverCrash) {
  for (const std::string& good :
       {png_file(3, {bytes({1, 2, 3}), bytes({4, 5, 6})}, 8, 0), colour_jpeg(), grey_jpeg()}) {
    int errors = 0;
    for (std::size_t i = 0; i < good.size(); ++i) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ 0x55);
      const auto file = write("bad", bad);
      try {
        read_image(file, 3);
      } catch (const DataError& error) {
        EXPECT_EQ(error.exit_code(), 65);
        ++errors;
      }
    }
    EXPECT_GT(errors, 10);
  }
}

TEST(ImageName, Endings) {
  for (const char* name : {"a.png", "b.JPG", "c.jpeg", "d.JPEG"}) EXPECT_TRUE(is_image_name(name)) << name;
  for (const char* name : {"a.txt", "png", "a.png.tmp"}) EXPECT_FALSE(is_image_name(name)) << name;
}

}  // namespace
}  // namespace expunge::data
