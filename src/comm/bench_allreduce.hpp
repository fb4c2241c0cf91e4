// `expunge bench allreduce`: what the rank-independent order of additions costs beside the library's own sum.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/ordered_sum.hpp"
#include "comm/runtime.hpp"

namespace expunge::comm {

// Bandwidths as nccl-tests defines them for all-reduce (its doc/PERFORMANCE.md), bytes a second: of the
// algorithm, bytes / seconds; of the bus, that times 2 (ranks - 1) / ranks, which does not grow with the
// ranks and is 0 for one.
double algorithm_bandwidth(std::int64_t bytes, double seconds);
double bus_bandwidth(std::int64_t bytes, double seconds, int ranks);

// Collective. Sums a vector of each of `sizes` (bytes, rounded down to whole floats; at least one float) over
// one leaf a rank, ordered (flat), where there are nodes also ordered (hierarchical), and native: the median
// over rounds of the slowest rank's seconds, both bandwidths, and how many elements were wrong on any rank.
// One line a size, the same on every rank.
struct AllreduceReport {
  std::string table;
  std::int64_t wrong = 0;  // elements, over all sizes
};
AllreduceReport bench_allreduce(Runtime& runtime, const std::vector<std::int64_t>& sizes);

// One line of the table.
struct AllreduceTiming {
  std::int64_t bytes = 0;
  double ordered_s = 0, native_s = 0;  // ordered: in its flat form
  double hierarchical_s = 0;           // 0 where the ranks' nodes allow only the flat form
};

// Collective. The measurement itself, over any transport. `tick` is called before every round;
// `wanted_seconds`: about how long each kind is measured.
AllreduceTiming time_allreduce(Communicator& comm, const Arithmetic& arithmetic, std::int64_t bytes,
                               const std::function<void()>& tick, double wanted_seconds = 1.0);

// Collective, host memory. Elements that ordered sums, of every form there is, and a native one get wrong on
// this rank. The numbers are small and whole: exact in any order.
std::int64_t count_wrong(Communicator& comm, std::int64_t bytes);

}  // namespace expunge::comm
