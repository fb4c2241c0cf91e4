// IDX files (the format of MNIST): big-endian magic 00 00 TYPE DIMS, DIMS sizes, then the values. Unsigned
// bytes only; plain or gzip-compressed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace expunge::data {

struct IdxFile {
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> values;
};

// DataError 65/66 with the file's name when it is absent, empty, truncated, longer than its header says,
// corrupt or not an IDX file of unsigned bytes with `dimensions` dimensions.
IdxFile read_idx(const std::filesystem::path& file, int dimensions);
std::vector<std::int64_t> read_idx_shape(const std::filesystem::path& file, int dimensions);  // header only

}  // namespace expunge::data
