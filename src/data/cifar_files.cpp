#include "data/cifar_files.hpp"

#include "core/error.hpp"
#include "core/files.hpp"
#include "data/class_folders.hpp"

namespace expunge::data {
namespace {

constexpr std::int64_t kPixels = 3 * 32 * 32;

std::vector<fs::path> present_files(const CifarLayout& layout, const fs::path& root, Side side) {
  std::vector<fs::path> files;
  for (const auto& name : side == Side::kTrain ? layout.train_files : layout.test_files)
    if (fs::exists(root / name)) files.push_back(root / name);
  return files;
}

bool has_archive(const CifarLayout& layout, const fs::path& root) {
  return !present_files(layout, root, Side::kTrain).empty() &&
         !present_files(layout, root, Side::kTest).empty();
}

std::int64_t records_of(const CifarLayout& layout, const fs::path& file) {
  const std::int64_t record = layout.label_bytes + kPixels;
  std::error_code error;
  const auto bytes = static_cast<std::int64_t>(fs::file_size(file, error));
  if (error) throw DataError::missing(fmt::format("{}: {}", file.string(), error.message()));
  if (bytes == 0) throw DataError::corrupt(fmt::format("{}: empty file", file.string()));
  if (bytes % record != 0)
    throw DataError::corrupt(
        fmt::format("{}: {} bytes are no whole number of records of {} bytes: truncated, or another format",
                    file.string(), bytes, record));
  return bytes / record;
}

Raw read_archive(const CifarLayout& layout, const fs::path& root, Side side, const Info& info) {
  Raw out;
  for (const auto& file : present_files(layout, root, side)) {
    const std::int64_t records = records_of(layout, file);
    const MappedFile bytes(file);
    out.pixels.reserve(out.pixels.size() + static_cast<std::size_t>(records * kPixels));
    for (std::int64_t i = 0; i < records; ++i) {
      const std::uint8_t* record = bytes.data() + i * (layout.label_bytes + kPixels);
      const std::int64_t label = record[layout.label_at];
      if (label >= info.classes)
        throw DataError::corrupt(fmt::format("{}: label {} of record {} is out of range (0 to {})",
                                             file.string(), label, i, info.classes - 1));
      out.labels.push_back(label);
      out.pixels.insert(out.pixels.end(), record + layout.label_bytes, record + layout.label_bytes + kPixels);
    }
  }
  return out;
}

}  // namespace

Reader cifar_reader(Info info, std::vector<std::string> folders, const CifarLayout& layout) {
  Reader reader;
  reader.info = std::move(info);
  reader.folders = std::move(folders);
  reader.present = [layout](const fs::path& root) {
    return has_archive(layout, root) || has_class_folders(root);
  };
  reader.sources = [layout](const fs::path& root) {
    if (!has_archive(layout, root)) return class_folder_sources(root);
    auto files = present_files(layout, root, Side::kTrain);
    for (auto& file : present_files(layout, root, Side::kTest)) files.push_back(std::move(file));
    return files;
  };
  reader.measure = [layout](const fs::path& root, Info& out) {
    if (!has_archive(layout, root)) return measure_class_folders(root, out);
    out.train_size = out.test_size = 0;
    for (const auto& file : present_files(layout, root, Side::kTrain))
      out.train_size += records_of(layout, file);
    for (const auto& file : present_files(layout, root, Side::kTest))
      out.test_size += records_of(layout, file);
  };
  reader.read = [layout](const fs::path& root, Side side, Info& out) {
    return has_archive(layout, root) ? read_archive(layout, root, side, out)
                                     : read_class_folders(root, side, out);
  };
  return reader;
}

}  // namespace expunge::data
