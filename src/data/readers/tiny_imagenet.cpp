// Tiny ImageNet (Stanford CS231n): 200 classes of ImageNet at 64 x 64 pixels. Labels are positions among the
// class names (wnids) in alphabetical order; the test side is the published validation set, whose classes are
// in val_annotations.txt. Grey images become RGB.
#include <algorithm>
#include <map>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "data/dataset.hpp"
#include "data/image_file.hpp"

namespace expunge::data {
namespace tiny_imagenet {

using Labelled = std::pair<fs::path, std::int64_t>;

std::map<std::string, std::int64_t> labels_of(const fs::path& root) {
  std::map<std::string, std::int64_t> out;
  for (auto name : split(read_file(root / "wnids.txt"), '\n')) {
    while (!name.empty() && (name.back() == '\r' || name.back() == ' ')) name.pop_back();
    if (!name.empty()) out[name] = 0;
  }
  if (out.empty()) throw DataError::corrupt(fmt::format("{}: no classes", (root / "wnids.txt").string()));
  std::int64_t label = 0;
  for (auto& [name, number] : out) number = label++;
  return out;
}

std::vector<Labelled> train_images(const fs::path& root) {
  std::vector<Labelled> out;
  for (const auto& [name, label] : labels_of(root)) {
    const std::size_t before = out.size();
    std::error_code error;
    for (fs::directory_iterator at(root / "train" / name / "images", error), end; !error && at != end;
         at.increment(error))
      if (at->path().extension() == ".JPEG") out.emplace_back(at->path(), label);
    if (error || out.size() == before)
      throw DataError::corrupt(
          fmt::format("{}: no .JPEG files", (root / "train" / name / "images").string()));
    // TRAIN_WNID_7.JPEG before TRAIN_WNID_10.JPEG: by length, then by name.
    std::sort(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(),
              [](const Labelled& a, const Labelled& b) {
                const auto x = a.first.filename().string(), y = b.first.filename().string();
                return std::pair{x.size(), x} < std::pair{y.size(), y};
              });
  }
  return out;
}

std::vector<Labelled> val_images(const fs::path& root) {
  const auto file = root / "val" / "val_annotations.txt";
  const auto labels = labels_of(root);
  std::vector<Labelled> out;
  std::int64_t number = 0;
  for (const auto& line : split(read_file(file), '\n')) {
    ++number;
    if (line.empty()) continue;
    const auto fields = split(line, '\t');
    const auto label = fields.size() < 2 ? labels.end() : labels.find(fields[1]);
    if (label == labels.end() || fs::path(fields[0]).filename() != fields[0])
      throw DataError::corrupt(
          fmt::format("{}:{}: expected an image's name and its class", file.string(), number));
    out.emplace_back(root / "val" / "images" / fields[0], label->second);
  }
  return out;
}

std::vector<Labelled> images_of(const fs::path& root, Side side) {
  return side == Side::kTrain ? train_images(root) : val_images(root);
}

bool present(const fs::path& root) {
  return fs::exists(root / "wnids.txt") && fs::is_directory(root / "train") &&
         fs::exists(root / "val" / "val_annotations.txt");
}

std::vector<fs::path> sources(const fs::path& root) {
  std::vector<fs::path> out{root / "wnids.txt", root / "val" / "val_annotations.txt"};
  for (const Side side : {Side::kTrain, Side::kTest})
    for (const auto& [file, label] : images_of(root, side)) out.push_back(file);
  return out;
}

void measure(const fs::path& root, Info& info) {
  info.train_size = std::ssize(train_images(root));
  info.test_size = std::ssize(val_images(root));
  info.classes = std::ssize(labels_of(root));
}

Raw read(const fs::path& root, Side side, Info& info) {
  if (side == Side::kTrain) info.classes = std::ssize(labels_of(root));
  Raw out;
  for (const auto& [file, label] : images_of(root, side)) {
    const Image image = read_image(file, info.channels);
    if (image.height != info.height || image.width != info.width)
      throw DataError::corrupt(fmt::format("{}: {}x{} pixels, expected {}x{}", file.string(), image.width,
                                           image.height, info.width, info.height));
    const auto channels = static_cast<std::size_t>(info.channels);
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t i = c; i < image.pixels.size(); i += channels) out.pixels.push_back(image.pixels[i]);
    out.labels.push_back(label);
  }
  return out;
}

const RegisterReader entry{
    {.info = {.name = "tiny_imagenet",
              .title = "Tiny ImageNet",
              .source = "Stanford CS231n, from ImageNet (Russakovsky et al. 2015)",
              .licence = "ImageNet's terms: non-commercial research",
              .files = "train/, val/ and wnids.txt",
              .classes = 200,
              .channels = 3,
              .height = 64,
              .width = 64,
              .train_size = 100000,
              .test_size = 10000,
              .mean = {0.485, 0.456, 0.406},
              .deviation = {0.229, 0.224, 0.225},
              .deletion_list = ""},
     .folders = {"tiny_imagenet/tiny-imagenet-200", "tiny-imagenet-200", "tiny_imagenet"},
     .present = present,
     .sources = sources,
     .measure = measure,
     .read = read}};

}  // namespace tiny_imagenet
}  // namespace expunge::data
