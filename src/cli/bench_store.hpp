// `expunge bench store`: what publishing and merging stores, and looking at the board, costs.
#pragma once

#include "cli/sample_sweep.hpp"

namespace expunge::cli {

// Writes a sample sweep in a new folder below `sweep.folder`, merges it (data out of the page cache, then in
// it, then by the index), renders its board, prints seconds and peak memory of each and removes the folder.
// `keep`: writes it, prints the folder's name last and leaves it. DataError 73 when it cannot be written.
int bench_store(SampleSweep sweep, bool keep);

}  // namespace expunge::cli
