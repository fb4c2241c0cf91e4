// Fashion-MNIST (Xiao, Rasul, Vollgraf 2017): 28 x 28 grey images of clothing, IDX files, plain or
// gzip-compressed.
#include "core/error.hpp"
#include "core/files.hpp"
#include "data/dataset.hpp"
#include "data/idx_file.hpp"

namespace expunge::data {
namespace fashion_mnist {

const char* images_name(Side side) {
  return side == Side::kTrain ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte";
}
const char* labels_name(Side side) {
  return side == Side::kTrain ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte";
}

// The plain file, or the compressed one.
fs::path file_of(const fs::path& root, const std::string& name) {
  const fs::path plain = root / name;
  return fs::exists(plain) ? plain : root / (name + ".gz");
}

std::vector<fs::path> sources(const fs::path& root) {
  std::vector<fs::path> files;
  for (const Side side : {Side::kTrain, Side::kTest})
    for (const char* name : {images_name(side), labels_name(side)}) files.push_back(file_of(root, name));
  return files;
}

bool present(const fs::path& root) {
  for (const auto& file : sources(root))
    if (!fs::exists(file)) return false;
  return true;
}

void measure(const fs::path& root, Info& info) {
  info.train_size = read_idx_shape(file_of(root, images_name(Side::kTrain)), 3)[0];
  info.test_size = read_idx_shape(file_of(root, images_name(Side::kTest)), 3)[0];
}

Raw read(const fs::path& root, Side side, Info& info) {
  const fs::path image_file = file_of(root, images_name(side)), label_file = file_of(root, labels_name(side));
  IdxFile images = read_idx(image_file, 3);
  const IdxFile labels = read_idx(label_file, 1);
  if (images.shape[1] != info.height || images.shape[2] != info.width)
    throw DataError::corrupt(fmt::format("{}: images of {}x{} pixels instead of {}x{}", image_file.string(),
                                         images.shape[2], images.shape[1], info.width, info.height));
  if (images.shape[0] != labels.shape[0])
    throw DataError::corrupt(fmt::format("{}: {} labels, but {} holds {} images", label_file.string(),
                                         labels.shape[0], image_file.string(), images.shape[0]));
  Raw out{.pixels = std::move(images.values), .labels = {}};
  for (std::size_t i = 0; i < labels.values.size(); ++i) {
    if (labels.values[i] >= info.classes)
      throw DataError::corrupt(fmt::format("{}: label {} of sample {} is out of range (0 to {})",
                                           label_file.string(), labels.values[i], i, info.classes - 1));
    out.labels.push_back(labels.values[i]);
  }
  return out;
}

const RegisterReader entry{
    {.info = {.name = "fashion_mnist",
              .title = "Fashion-MNIST",
              .source =
                  "Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747 (Debian package dataset-fashion-mnist)",
              .licence = "MIT",
              .files = "{train,t10k}-{images-idx3,labels-idx1}-ubyte, plain or .gz,",
              .classes = 10,
              .channels = 1,
              .height = 28,
              .width = 28,
              .train_size = 60000,
              .test_size = 10000,
              .mean = {0.2860},
              .deviation = {0.3530},
              .deletion_list = ""},
     .folders = {"fashion-mnist", "fashion_mnist"},
     .present = present,
     .sources = sources,
     .measure = measure,
     .read = read}};

}  // namespace fashion_mnist
}  // namespace expunge::data
