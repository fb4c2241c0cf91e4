// Flickr8k (Hodosh, Young and Hockenmaier 2013) as pairs: does this caption belong to this photo? Every
// caption stands once with its own photo (label 1) and once with another one of the same side, keyed by the
// caption (label 0). Training: the photos of the train and dev lists; test: those of the test list. Photos
// are reduced to 32 x 32 by area; captions are hashed words.
#include <set>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/rng.hpp"
#include "core/text.hpp"
#include "data/caption.hpp"
#include "data/dataset.hpp"

namespace expunge::data {
namespace flickr8k {

constexpr const char* kCaptions = "Flickr8k_text/Flickr8k.token.txt";

std::vector<std::string> lists_of(Side side) {
  if (side == Side::kTest) return {"Flickr8k_text/Flickr_8k.testImages.txt"};
  return {"Flickr8k_text/Flickr_8k.trainImages.txt", "Flickr8k_text/Flickr_8k.devImages.txt"};
}

std::vector<std::string> lines_of(const fs::path& file) {
  std::vector<std::string> out;
  for (auto line : split(read_file(file), '\n')) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) out.push_back(std::move(line));
  }
  return out;
}

// The photos of one side that are there, in the order of the lists.
std::vector<std::string> photos_of(const fs::path& root, Side side) {
  std::vector<std::string> out;
  for (const auto& list : lists_of(side))
    for (const auto& name : lines_of(root / list))
      if (fs::exists(root / "Images" / name)) out.push_back(name);
  return out;
}

struct Caption {
  std::int64_t photo;
  std::string text;
};

// The captions of these photos, in the order of the file. A line is "NAME#K<tab>CAPTION".
std::vector<Caption> captions_of(const fs::path& root, const std::vector<std::string>& photos) {
  std::map<std::string, std::int64_t> place;
  for (std::size_t i = 0; i < photos.size(); ++i) place[photos[i]] = static_cast<std::int64_t>(i);
  std::vector<Caption> out;
  std::int64_t number = 0;
  for (const auto& line : lines_of(root / kCaptions)) {
    ++number;
    const auto tab = line.find('\t'), hash = line.find('#');
    if (tab == std::string::npos || hash == std::string::npos || hash > tab)
      throw DataError::corrupt(
          fmt::format("{}:{}: expected NAME#K, a tab and the caption", (root / kCaptions).string(), number));
    if (const auto found = place.find(line.substr(0, hash)); found != place.end())
      out.push_back({found->second, line.substr(tab + 1)});
  }
  return out;
}

bool present(const fs::path& root) {
  if (!fs::exists(root / kCaptions) || !fs::is_directory(root / "Images")) return false;
  for (const Side side : {Side::kTrain, Side::kTest})
    for (const auto& list : lists_of(side))
      if (!fs::exists(root / list)) return false;
  return true;
}

std::vector<fs::path> sources(const fs::path& root) {
  std::vector<fs::path> out = {root / kCaptions};
  for (const Side side : {Side::kTrain, Side::kTest}) {
    for (const auto& list : lists_of(side)) out.push_back(root / list);
    for (const auto& photo : photos_of(root, side)) out.push_back(root / "Images" / photo);
  }
  return out;
}

void measure(const fs::path& root, Info& info) {
  for (const Side side : {Side::kTrain, Side::kTest})
    (side == Side::kTrain ? info.train_size : info.test_size) =
        2 * static_cast<std::int64_t>(captions_of(root, photos_of(root, side)).size());
}

Raw read(const fs::path& root, Side side, Info& info) {
  const auto photos = photos_of(root, side);
  if (photos.size() < 2)
    throw DataError::corrupt(fmt::format("{}: fewer than two photos of the {} lists in Images", root.string(),
                                         side == Side::kTrain ? "train" : "test"));
  std::vector<std::vector<std::uint8_t>> pixels;
  for (const auto& photo : photos)
    pixels.push_back(
        resize_area(read_image(root / "Images" / photo, info.channels), info.height, info.width));
  Raw out;
  for (const auto& caption : captions_of(root, photos)) {
    const auto tokens = hash_words(caption.text, info.tokens, info.vocabulary);
    const auto others = static_cast<std::uint64_t>(photos.size() - 1);
    auto other = static_cast<std::int64_t>(Rng(0, "flickr8k").sub(caption.text).below(others, 0));
    if (other >= caption.photo) ++other;
    for (const auto& [photo, label] : {std::pair{caption.photo, 1}, {other, 0}}) {
      append_pair(info, pixels[static_cast<std::size_t>(photo)], tokens, photo, caption.photo, out.pixels);
      out.labels.push_back(label);
    }
  }
  return out;
}

const RegisterReader entry{{.info = {.name = "flickr8k",
                                     .title = "Flickr8k pairs",
                                     .source = "Hodosh, Young and Hockenmaier, JAIR 2013",
                                     .licence = "photos belong to their authors; research use",
                                     .files = "Images/ and Flickr8k_text/",
                                     .classes = 2,
                                     .channels = 3,
                                     .height = 32,
                                     .width = 32,
                                     .train_size = 70000,
                                     .test_size = 10000,
                                     .mean = {0.4476, 0.4423, 0.4058},
                                     .deviation = {0.2389, 0.2370, 0.2514},
                                     .tokens = 24,
                                     .vocabulary = 2048,
                                     .units = {"image"},
                                     .deletion_list = ""},
                            .folders = {"flickr8k", "Flickr8k"},
                            .present = present,
                            .sources = sources,
                            .measure = measure,
                            .read = read}};

}  // namespace flickr8k
}  // namespace expunge::data
