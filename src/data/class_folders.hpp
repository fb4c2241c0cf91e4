// Class folders: ROOT/train/CLASS/*.{png,jpg,jpeg} and ROOT/test/CLASS/.... Labels are positions among the
// class names of the train side, sorted by name (by number when all names are numbers); samples are ordered
// by class, then by file name.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.hpp"

namespace expunge::data {

bool has_class_folders(const std::filesystem::path& root);
std::vector<std::string> class_names(const std::filesystem::path& root);
// (file, label) of every image of a side. DataError 65 for a class without images or one that the train side
// lacks.
std::vector<std::pair<std::filesystem::path, std::int64_t>> list_class_folders(
    const std::filesystem::path& root, Side side);

// Parts of a Reader. Images must all have the size and, when info.channels is 0, take the channels of the
// first one.
std::vector<std::filesystem::path> class_folder_sources(const std::filesystem::path& root);
void measure_class_folders(const std::filesystem::path& root, Info& info);
Raw read_class_folders(const std::filesystem::path& root, Side side, Info& info);

}  // namespace expunge::data
