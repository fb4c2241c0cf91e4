// Reads the stores under a sweep's folder, by several processes at once: HDF5 has one lock a process, so
// threads would not help.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "store/store_file.hpp"

namespace expunge::board {

// One store file and what it holds.
struct Found {
  std::string file;   // relative to the scanned folder
  std::string state;  // "" = readable; corrupt | foreign
  std::string reason;
  store::RowHeader header;  // its row in the order of the wanted columns
};

struct Scan {
  std::vector<Found> found;             // by file name
  std::vector<std::string> unfinished;  // files that a writer has not published (NAME.tmp.HOST.PID)
};

// Every *.h5 below `folder` (which may be absent). A store that lacks one of `row_names` is foreign.
// `processes` = 0: one per core at hand, fewer for few files. `index`: a file that keeps what good stores
// said between calls, so that only those are read whose name, size or time of change is new; empty: all are
// read. A damaged index, or one for other columns, is made again.
Scan scan_stores(const std::filesystem::path& folder, const std::vector<std::string>& row_names,
                 int processes = 0, const std::filesystem::path& index = {});

}  // namespace expunge::board
