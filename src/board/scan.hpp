// Reads the stores under a sweep's folder, several at once: from their summaries, so that the time goes into
// the file system and not into HDF5.
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

// Every *.h5 below `folder` (which may be absent). A store that lacks one of `row_names` is foreign; what
// cannot be read (a folder with a store's name, a folder that cannot be listed, an input error) is corrupt.
// `readers`: files read at once; 0: more than there are cores, because most of the time a reader waits for
// the disk. `index`: a file that keeps what good stores said between calls, so that only those are read whose
// name, size or times of change are new; empty: all are read. A damaged index, or one for other columns, is
// made again.
Scan scan_stores(const std::filesystem::path& folder, const std::vector<std::string>& row_names,
                 int readers = 0, const std::filesystem::path& index = {});

}  // namespace expunge::board
