// Decoded data sets on disk: cache_folder()/packed/NAME-KEY.pack, memory-mapped read-only. KEY depends on the
// source files' names, sizes and modification times and on the options that change pixels.
//
// Format, little endian, sections on 64-byte borders:
//   header (64 bytes): "EXPACK\0\1", u64 length and u64 XXH3-64 of the JSON text, u64 length of the file,
//   zeros JSON text: name, classes, channels, height, width, train, test (sample counts), hashes (XXH3-128 of
//   the four sections) train labels (int64), train pixels, test labels, test pixels
#pragma once

#include <filesystem>
#include <memory>

#include "data/dataset.hpp"

namespace expunge::data {

// A data set found on disk, before it is decoded.
struct Source {
  const Reader* reader = nullptr;
  std::filesystem::path root;
  Info info;  // the reader's, with the job's options applied
};

// Opens the cache file of `source`, writing it first where it is absent or damaged. One process packs, the
// others wait for it. Where the cache cannot be written the data set is decoded into memory, with a warning.
std::shared_ptr<const Dataset> open_packed(const Source& source);

// Name of the cache file (for messages and tests); the file need not exist.
std::filesystem::path packed_file(const Source& source);

}  // namespace expunge::data
