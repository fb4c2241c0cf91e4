// Reads the stores under a sweep's folder, several at once: from their summaries, so that the time goes into
// the file system and not into HDF5.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "board/found.hpp"

namespace expunge::board {

// Hands every *.h5 below `folder` (which may be absent) to `fold`, by file name; a part of them is in memory
// at a time. A store that lacks one of `row_names` is foreign; what cannot be read (a folder with a store's
// name, a folder that cannot be listed, an input error) is corrupt. Gives the files that a writer has not
// published (NAME.tmp.HOST.PID).
// `readers`: files read at once; 0: more than there are cores, because most of the time a reader waits for
// the disk. `index`: a file that keeps what good stores said between calls, so that only those are read whose
// name, size or times of change are new; empty: all are read. A damaged index, or one for other columns, is
// made again.
std::vector<std::string> scan_stores(const std::filesystem::path& folder,
                                     const std::vector<std::string>& row_names, int readers,
                                     const std::filesystem::path& index,
                                     const std::function<void(Found&&)>& fold);

}  // namespace expunge::board
