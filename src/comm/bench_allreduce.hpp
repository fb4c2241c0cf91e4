// `expunge bench allreduce`: what the rank-independent order of additions costs beside the library's own sum.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/ordered_sum.hpp"
#include "comm/runtime.hpp"

namespace expunge::comm {

// Collective. Sums a vector of each of `sizes` (bytes, rounded down to whole floats; at least one float) over
// one leaf a rank, ordered and native: the median over rounds of the slowest rank's seconds. Returns a table,
// one line a size, with the bus bandwidth as nccl-tests defines it for all-reduce: bytes / seconds * 2 (ranks
// - 1) / ranks, 0 for one rank. The table is the same on every rank.
std::string bench_allreduce(Runtime& runtime, const std::vector<std::int64_t>& sizes);

// One line of the table.
struct AllreduceTiming {
  std::int64_t bytes = 0;
  double ordered_s = 0, native_s = 0;
};

// Collective. The measurement itself, over any transport. `tick` is called before every round.
AllreduceTiming time_allreduce(Communicator& comm, const Arithmetic& arithmetic, std::int64_t bytes,
                               const std::function<void()>& tick);

}  // namespace expunge::comm
