#include "data/class_folders.hpp"

#include <algorithm>
#include <cctype>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "data/image_file.hpp"

namespace expunge::data {
namespace {

fs::path side_folder(const fs::path& root, Side side) {
  return root / (side == Side::kTrain ? "train" : "test");
}

std::vector<std::string> folders_of(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name[0] != '.' && at->is_directory(error)) names.push_back(name);
  }
  if (error) throw DataError::missing(fmt::format("{}: cannot list: {}", folder.string(), error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<fs::path> images_of(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->path().filename().string()[0] != '.' && is_image_name(at->path())) files.push_back(at->path());
  if (error) throw DataError::missing(fmt::format("{}: cannot list: {}", folder.string(), error.message()));
  std::sort(files.begin(), files.end());
  return files;
}

bool is_number(const std::string& name) {
  return name.size() <= 9 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); });
}

void check_classes(const fs::path& root, std::int64_t found, Info& info) {
  if (info.classes != 0 && info.classes != found)
    throw DataError::corrupt(fmt::format("{}: expected {} class folders, found {}", (root / "train").string(),
                                         info.classes, found));
  info.classes = found;
}

// The first image decides what `info` leaves open.
void adopt_shape(const Image& image, Info& info) {
  if (info.channels == 0) info.channels = image.channels;
  if (info.height == 0) {
    info.height = image.height;
    info.width = image.width;
  }
}

}  // namespace

bool has_class_folders(const fs::path& root) {
  std::error_code error;
  return fs::is_directory(root / "train", error) && fs::is_directory(root / "test", error);
}

std::vector<std::string> class_names(const fs::path& root) {
  auto names = folders_of(side_folder(root, Side::kTrain));
  if (names.empty()) throw DataError::corrupt(fmt::format("{}: no class folders", (root / "train").string()));
  if (std::all_of(names.begin(), names.end(), is_number))
    std::sort(names.begin(), names.end(),
              [](const auto& a, const auto& b) { return std::stol(a) < std::stol(b); });
  return names;
}

std::vector<std::pair<fs::path, std::int64_t>> list_class_folders(const fs::path& root, Side side) {
  const auto names = class_names(root);
  const fs::path folder = side_folder(root, side);
  for (const auto& name : folders_of(folder))
    if (std::find(names.begin(), names.end(), name) == names.end())
      throw DataError::corrupt(fmt::format("{}: no class of the train side{}", (folder / name).string(),
                                           did_you_mean(name, names)));
  std::vector<std::pair<fs::path, std::int64_t>> out;
  for (std::size_t label = 0; label < names.size(); ++label) {
    if (side == Side::kTest && !fs::exists(folder / names[label])) continue;
    const auto files = images_of(folder / names[label]);
    if (files.empty())
      throw DataError::corrupt(
          fmt::format("{}: no .png, .jpg or .jpeg files", (folder / names[label]).string()));
    for (const auto& file : files) out.emplace_back(file, static_cast<std::int64_t>(label));
  }
  if (out.empty()) throw DataError::corrupt(fmt::format("{}: no class folders", folder.string()));
  return out;
}

std::vector<fs::path> class_folder_sources(const fs::path& root) {
  std::vector<fs::path> files;
  for (const Side side : {Side::kTrain, Side::kTest})
    for (const auto& [file, label] : list_class_folders(root, side)) files.push_back(file);
  return files;
}

void measure_class_folders(const fs::path& root, Info& info) {
  const auto train = list_class_folders(root, Side::kTrain);
  check_classes(root, static_cast<std::int64_t>(class_names(root).size()), info);
  info.train_size = static_cast<std::int64_t>(train.size());
  info.test_size = static_cast<std::int64_t>(list_class_folders(root, Side::kTest).size());
  adopt_shape(read_image_shape(train.front().first), info);
}

Raw read_class_folders(const fs::path& root, Side side, Info& info) {
  if (side == Side::kTrain) check_classes(root, static_cast<std::int64_t>(class_names(root).size()), info);
  Raw out;
  for (const auto& [file, label] : list_class_folders(root, side)) {
    const Image image = read_image(file, info.channels);
    adopt_shape(image, info);
    if (image.height != info.height || image.width != info.width)
      throw DataError::corrupt(
          fmt::format("{}: {}x{} pixels, but this data set has {}x{}; scale all images to one size first",
                      file.string(), image.width, image.height, info.width, info.height));
    const auto plane = static_cast<std::size_t>(info.height * info.width),
               channels = static_cast<std::size_t>(info.channels);
    const std::size_t begin = out.pixels.size();
    out.pixels.resize(begin + channels * plane);
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t i = 0; i < plane; ++i)
        out.pixels[begin + c * plane + i] = image.pixels[i * channels + c];
    out.labels.push_back(label);
  }
  return out;
}

}  // namespace expunge::data
