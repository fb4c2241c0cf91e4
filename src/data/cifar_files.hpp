// The CIFAR binary archives: records of label bytes followed by 3 x 32 x 32 pixels, channel by channel
// (Krizhevsky 2009).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.hpp"

namespace expunge::data {

struct CifarLayout {
  std::vector<std::string> train_files,
      test_files;  // absent train files are passed over, at least one must be there
  std::int64_t label_bytes = 1, label_at = 0;
};

// Fills folders, present, sources, measure and read of a reader whose files lie in this layout, or as PNG
// class folders.
Reader cifar_reader(Info info, std::vector<std::string> folders, const CifarLayout& layout);

}  // namespace expunge::data
