// `expunge bench store`: what publishing and merging stores costs.
#pragma once

#include <cstdint>
#include <filesystem>

namespace expunge::cli {

// Publishes `count` small stores in a new folder below `folder`, merges them (data out of the page cache,
// then in it, then by the index), prints seconds and removes the folder. `keep`: publishes them, prints the
// folder's name last and leaves it. DataError 73 when it cannot be written.
int bench_store(const std::filesystem::path& folder, std::int64_t count, bool keep);

}  // namespace expunge::cli
