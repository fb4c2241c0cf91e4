// Published deletion lists: training indices in deletion order, one a line, in data/deletion_lists/NAME.txt.
// Lines that begin with # carry `key: value`: dataset, train_size, first_labels (labels of samples 0, 1, ...
// in the published order), sha256 (of the index lines), and optionally checksum (Dataset::checksum of the
// full data set).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.hpp"

namespace expunge::data {

struct DeletionList {
  std::string file, dataset, checksum;
  std::int64_t train_size = 0;
  std::vector<std::int64_t> first_labels, indices;
};

// DataError 65/66: absent, damaged (sha256), not a number, an index out of range or twice.
DeletionList read_deletion_list(const std::filesystem::path& file);

// The same from the project's data/deletion_lists, read once per process.
const DeletionList& published_list(const std::string& name);

// ConfigError, with the reason, when `dataset` is not the full published one in its published order.
void require_published(const DeletionList& list, const Dataset& dataset);

}  // namespace expunge::data
