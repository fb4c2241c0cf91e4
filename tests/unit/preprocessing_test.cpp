// Resizing, image processors and decoding against Pillow, transformers and torchvision (the golden folder),
// and by hand.
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "core/files.hpp"
#include "core/hash.hpp"
#include "core/text.hpp"
#include "data/image_processor.hpp"
#include "tests/unit/data_fixture.hpp"
#include "tests/unit/hand_made_images.hpp"

namespace expunge::data {
namespace {

using nlohmann::json;

fs::path golden_folder() {
  for (const char* name : {"EXPUNGE_GOLDEN_DIR", "EXPUNGE_GOLDEN"})
    if (const char* value = std::getenv(name)) return value;
  return EXPUNGE_SOURCE_DIR "/../shared/golden";
}

// A safetensors file, read by its definition.
class Golden {
 public:
  explicit Golden(const char* name) : file_(golden_folder() / name) {
    std::uint64_t length = 0;
    std::memcpy(&length, file_.data(), 8);
    header_ = json::parse(file_.view().substr(8, length));
    data_ = file_.data() + 8 + length;
    metadata_ = header_.at("__metadata__");
    header_.erase("__metadata__");
  }
  const json& header() const { return header_; }
  // What metadata "tensors" says of an entry.
  const json& note(const std::string& name) {
    if (notes_.is_null()) notes_ = json::parse(metadata_.at("tensors").get<std::string>());
    return notes_.at(name);
  }
  std::vector<std::string> names(const std::string& prefix) const {
    std::vector<std::string> out;
    for (const auto& [name, entry] : header_.items())
      if (name.starts_with(prefix)) out.push_back(name);
    return out;
  }
  std::vector<std::int64_t> shape(const std::string& name) const {
    return header_.at(name).at("shape").get<std::vector<std::int64_t>>();
  }
  std::string bytes(const std::string& name) const {
    const auto offsets = header_.at(name).at("data_offsets").get<std::vector<std::size_t>>();
    return {reinterpret_cast<const char*>(data_) + offsets[0], offsets[1] - offsets[0]};
  }
  Image image(const std::string& name) const {
    const auto size = shape(name);
    const auto text = bytes(name);
    return {size.size() > 2 ? size[2] : 1, size[0], size[1], {text.begin(), text.end()}};
  }

 private:
  MappedFile file_;
  json header_, metadata_, notes_;
  const std::uint8_t* data_ = nullptr;
};

std::string sha256_of(const Image& image) {
  return sha256_hex({reinterpret_cast<const char*>(image.pixels.data()), image.pixels.size()});
}
std::string sha256_of(const std::vector<float>& values) {
  return sha256_hex({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

Filter filter_of(const std::string& name) {
  static const std::map<std::string, Filter> filters{
      {"nearest", Filter::kNearest}, {"lanczos", Filter::kLanczos}, {"bilinear", Filter::kBilinear},
      {"bicubic", Filter::kBicubic}, {"box", Filter::kBox},         {"hamming", Filter::kHamming}};
  return filters.at(name);
}

class GoldenImages : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(golden_folder() / "preproc_libraries.safetensors"))
      GTEST_SKIP() << "no " << (golden_folder() / "preproc_libraries.safetensors").string()
                   << "; set EXPUNGE_GOLDEN_DIR to the folder of the reference values";
  }
};

// pil.IMAGE.FILTER.[crop_L_T_R_B.]WIDTHxHEIGHT
TEST_F(GoldenImages, ResizesAsPillow) {
  Golden golden("preproc_libraries.safetensors");
  int compared = 0;
  for (const auto& name : golden.names("pil.")) {
    SCOPED_TRACE(name);
    const auto parts = split(name, '.');
    Image image = golden.image("raw." + parts[1]);
    if (parts.size() == 5) {
      const auto box = split(parts[3], '_');
      image = crop(image, std::stol(box[2]), std::stol(box[1]), std::stol(box[4]) - std::stol(box[2]),
                   std::stol(box[3]) - std::stol(box[1]));
    }
    const auto size = split(parts.back(), 'x');
    const auto out = resize(image, std::stol(size[1]), std::stol(size[0]), filter_of(parts[2]));
    EXPECT_EQ(sha256_of(out), golden.note(name).at("sha256_full").get<std::string>());
    ++compared;
  }
  EXPECT_EQ(compared, 158);
}

TEST_F(GoldenImages, ResizesAsPillowOfTheFirstSet) {
  Golden golden("preproc.safetensors");
  for (const char* filter : {"bilinear", "bicubic"}) {
    const auto name = std::string("pil_") + filter;
    const Image image = golden.image("img_37x53"), small = golden.image("img_32x32");
    for (const auto& [key, height, width] :
         {std::tuple{"_16x20", 16, 20}, {"_24x24", 24, 24}, {"_64x91", 64, 91}})
      EXPECT_EQ(resize(image, height, width, filter_of(filter)).pixels, golden.image(name + key).pixels)
          << name << key;
    auto rows = resize(small, 224, 224, filter_of(filter)).pixels;
    rows.resize(8 * 224 * 3);
    EXPECT_EQ(rows, golden.image(name + "_32to224_rows0_8").pixels) << name;
  }
}

TEST_F(GoldenImages, CropsAsTheLibraries) {
  Golden golden("preproc_libraries.safetensors");
  for (const bool torchvision : {false, true})
    for (const auto& name : golden.names(torchvision ? "tv.center_crop." : "hf.center_crop.")) {
      const auto parts = split(name, '.'), size = split(parts[3], 'x');
      EXPECT_EQ(
          center_crop(golden.image("raw." + parts[2]), std::stol(size[0]), std::stol(size[1]), torchvision)
              .pixels,
          golden.image(name).pixels)
          << name;
    }
}

// Every processor of transformers: 8-bit pixels and floats, to the last bit.
TEST_F(GoldenImages, ProcessesAsTransformers) {
  Golden golden("preproc_libraries.safetensors");
  int compared = 0;
  for (const auto& name : golden.names("hf."))
    if (name.ends_with(".u8") && !name.starts_with("hf.vilt")) {
      SCOPED_TRACE(name);
      const auto parts = split(name, '.');
      const auto processor = parse_image_processor(golden.note("hf." + parts[1]).at("config"), parts[1]);
      const Image pixels = processor.to_pixels(golden.image("raw." + parts[2]));
      EXPECT_EQ(sha256_of(pixels), golden.note(name).at("sha256_full").get<std::string>());
      EXPECT_EQ(
          sha256_of(processor.to_floats(pixels)),
          golden.note("hf." + parts[1] + "." + parts[2] + ".float").at("sha256_full").get<std::string>());
      ++compared;
    }
  EXPECT_EQ(compared, 54);
}

TEST_F(GoldenImages, ProcessesAsVilt) {
  Golden golden("preproc_libraries.safetensors");
  for (const auto& name : golden.names("hf.vilt"))
    if (name.ends_with(".u8")) {
      const auto parts = split(name, '.');
      const auto processor = parse_image_processor(golden.note("hf." + parts[1]).at("config"), parts[1]);
      EXPECT_EQ(sha256_of(processor.to_pixels(golden.image("raw." + parts[2]))),
                golden.note(name).at("sha256_full").get<std::string>())
          << name;
    }
}

TEST_F(GoldenImages, ProcessesAsTorchvision) {
  Golden golden("preproc_libraries.safetensors");
  const std::vector<double> half{0.5, 0.5, 0.5}, mean{0.485, 0.456, 0.406}, deviation{0.229, 0.224, 0.225};
  const std::map<std::string, ImageProcessor> processors{
      {"vit_224x224", torchvision_processor(224, true, half, half)},
      {"swin_224x224", torchvision_processor(224, true, mean, deviation)},
      {"mobilenet_256", torchvision_processor(256, false, half, half)},
      {"resnet_convnext_224", torchvision_processor(224, false, mean, deviation)},
      {"small_47", torchvision_processor(47, false, mean, deviation)}};
  for (const auto& [key, processor] : processors)
    for (int i = 0; i < 6; ++i) {
      const auto name = fmt::format("tv.{}.img{}", key, i);
      const Image pixels = processor.to_pixels(golden.image(fmt::format("raw.img{}", i)));
      EXPECT_EQ(sha256_of(pixels), golden.note(name + ".u8").at("sha256_full").get<std::string>()) << name;
      EXPECT_EQ(sha256_of(processor.to_floats(pixels)),
                golden.note(name + ".float").at("sha256_full").get<std::string>())
          << name;
    }
}

TEST_F(GoldenImages, DecodesAsPillow) {
  Golden golden("preproc_libraries.safetensors");
  const auto data = golden_folder() / ".." / "data";
  for (int i = 0; i < 6; ++i) {
    const auto name = fmt::format("raw.img{}", i);
    const auto source = golden.note(name).value("source", std::string());
    if (source.empty() || !fs::exists(data / source) || !is_image_name(source)) continue;
    EXPECT_EQ(sha256_of(read_image(data / source, 3)), golden.note(name).at("sha256_full").get<std::string>())
        << source;
  }
}

// --- by hand
// ------------------------------------------------------------------------------------------------------

TEST(Resize, HalvesByTheBoxFilter) {
  // Means of 2 x 2 pixels, rounded across first: (1 + 2)/2 = 1.5 -> 2, (5 + 6)/2 = 5.5 -> 6, then (2 + 6)/2.
  const Image image{1, 2, 4, {1, 2, 10, 20, 5, 6, 30, 40}};
  EXPECT_EQ(resize(image, 1, 2, Filter::kBox).pixels, (std::vector<std::uint8_t>{4, 25}));
}

TEST(Resize, VectorsAndPlainCodeAgree) {
  // Three channels go through vector code where the machine has it; the same planes alone do not.
  Image image{3, 37, 41, {}};
  for (int i = 0; i < 3 * 37 * 41; ++i)
    image.pixels.push_back(static_cast<std::uint8_t>((i * 2654435761u) >> 24));
  for (const auto filter :
       {Filter::kBox, Filter::kBilinear, Filter::kHamming, Filter::kBicubic, Filter::kLanczos})
    for (const auto& [height, width] : {std::pair{5, 60}, {60, 7}, {36, 40}, {1, 1}, {37, 20}}) {
      const Image all = resize(image, height, width, filter);
      for (std::size_t c = 0; c < 3; ++c) {
        Image plane{1, 37, 41, {}};
        for (std::size_t i = c; i < image.pixels.size(); i += 3) plane.pixels.push_back(image.pixels[i]);
        const Image one = resize(plane, height, width, filter);
        for (std::size_t i = 0; i < one.pixels.size(); ++i) ASSERT_EQ(one.pixels[i], all.pixels[3 * i + c]);
      }
    }
}

class Processors : public DataTest {};

TEST_F(Processors, MistakesAreTold) {
  const auto bad = [&](const std::string& text) {
    const auto file = write("preprocessor_config.json", text);
    return message_of(65, [&] { read_image_processor(file); });
  };
  EXPECT_NE(bad("{").find("not JSON"), std::string::npos);
  EXPECT_NE(bad(R"({"image_processor_type":"Other"})").find("\"Other\""), std::string::npos);
  EXPECT_NE(bad(R"({"size":{"height":0,"width":2}})").find("no size in pixels"), std::string::npos);
  EXPECT_NE(bad(R"({"size":32,"resample":9})").find("resample is 9"), std::string::npos);
  EXPECT_NE(bad(R"({"size":32,"image_std":[0,1,1]})").find("image_std"), std::string::npos);
}

}  // namespace
}  // namespace expunge::data
