// Resumable state on disk: HDF5 with kind="checkpoint", arrays contiguous and uncompressed. Two generations
// are written alternately, so one whole file exists at any time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace expunge::store {

struct Checkpoint {
  std::string cell_id;
  std::int64_t sequence = 0;  // grows with every checkpoint of a run; the newer generation has the higher one
  nlohmann::json state;       // anything; NaN and infinities survive
  std::map<std::string, std::vector<float>> f32;
  std::map<std::string, std::vector<double>> f64;
  std::map<std::string, std::vector<std::int64_t>> i64;
};

// Replaces the file atomically. DataError 73 when it cannot be written; the old file then stays.
void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

// DataError 66 when there is no file, 65 when it is damaged or no checkpoint.
Checkpoint read_checkpoint(const std::filesystem::path& path);

// The newest of two generations that is whole. A damaged one is skipped with a warning; nothing when neither
// exists.
std::optional<Checkpoint> read_newest(const std::filesystem::path& path0, const std::filesystem::path& path1);

}  // namespace expunge::store
