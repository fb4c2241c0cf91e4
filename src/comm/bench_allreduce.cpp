#include "comm/bench_allreduce.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "core/median.hpp"
#include "core/text.hpp"

namespace expunge::comm {
namespace {

constexpr int kWarmUps = 3;
constexpr int kFewest = 5, kMost = 200;

// Seconds of one sum on the slowest rank. Filling the leaf is not part of it.
double round_seconds(Communicator& comm, OrderedSum& sum, const float* zeros, const Arithmetic& arithmetic,
                     std::int64_t count, bool ordered) {
  sum.begin(comm.size());
  arithmetic.copy(sum.leaf(), zeros, count);
  sum.push();
  comm.barrier();
  const auto began = std::chrono::steady_clock::now();
  ordered ? sum.finish() : sum.finish_native();
  const double mine = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const auto all = comm.all_gather_value(mine);
  return *std::max_element(all.begin(), all.end());
}

}  // namespace

AllreduceTiming time_allreduce(Communicator& comm, const Arithmetic& arithmetic, std::int64_t bytes,
                               const std::function<void()>& tick, double wanted_seconds) {
  const std::int64_t count = std::max<std::int64_t>(1, bytes / static_cast<std::int64_t>(sizeof(float)));
  OrderedSum sum(comm, count, arithmetic);
  const std::unique_ptr<float, std::function<void(float*)>> zeros(arithmetic.allocate(count),
                                                                  arithmetic.release);
  arithmetic.zero(zeros.get(), count);
  double medians[2] = {0, 0};
  for (const bool ordered : {true, false}) {
    double warm = 0;
    for (int i = 0; i < kWarmUps; ++i) {
      tick();
      warm = round_seconds(comm, sum, zeros.get(), arithmetic, count, ordered);
    }
    // Every rank saw the same `warm`, so all agree on the number of rounds.
    const int rounds =
        static_cast<int>(std::clamp(wanted_seconds / std::max(warm, 1e-6), double{kFewest}, double{kMost}));
    std::vector<double> seconds;
    for (int i = 0; i < rounds; ++i) {
      tick();
      seconds.push_back(round_seconds(comm, sum, zeros.get(), arithmetic, count, ordered));
    }
    medians[ordered ? 0 : 1] = median(std::move(seconds));
  }
  return {count * static_cast<std::int64_t>(sizeof(float)), medians[0], medians[1]};
}

double algorithm_bandwidth(std::int64_t bytes, double seconds) {
  return static_cast<double>(bytes) / seconds;
}

double bus_bandwidth(std::int64_t bytes, double seconds, int ranks) {
  return algorithm_bandwidth(bytes, seconds) * 2 * (ranks - 1) / ranks;
}

std::int64_t count_wrong(Communicator& comm, std::int64_t bytes) {
  constexpr std::int64_t kPeriod = 61;  // no divisor of any slice or chunk
  const std::int64_t count = std::max<std::int64_t>(1, bytes / static_cast<std::int64_t>(sizeof(float)));
  OrderedSum sum(comm, count);
  const int ranks = comm.size();
  std::int64_t wrong = 0;
  for (const bool ordered : {true, false}) {
    sum.begin(ranks);
    float* leaf = sum.leaf();
    for (std::int64_t i = 0; i < count; ++i) leaf[i] = static_cast<float>(i % kPeriod + comm.rank());
    sum.push();
    const float* result = ordered ? sum.finish() : sum.finish_native();
    for (std::int64_t i = 0; i < count; ++i)
      wrong += result[i] != static_cast<float>(i % kPeriod * ranks + ranks * (ranks - 1) / 2);
  }
  return wrong;
}

AllreduceReport bench_allreduce(Runtime& runtime, const std::vector<std::int64_t>& sizes) {
  Communicator& world = runtime.world();
  AllreduceReport out;
  out.table = fmt::format(
      "all-reduce, {} rank{}, transport {}, {}; bandwidths in GB/s: alg = bytes / seconds, bus = alg * 2 "
      "(ranks - 1) / ranks\n{:>10} {:>12} {:>12} {:>8} {:>12} {:>12} {:>12} {:>12} {:>8}\n",
      world.size(), world.size() == 1 ? "" : "s", world.transport(), runtime.mpi_version(), "size",
      "ordered ms", "native ms", "ratio", "ordered alg", "ordered bus", "native alg", "native bus", "wrong");
  for (const auto bytes : sizes) {
    runtime.phase(fmt::format("bench allreduce {}", human_bytes(static_cast<double>(bytes))));
    const auto timing = time_allreduce(world, host_arithmetic(), bytes, [&] { runtime.tick(); });
    std::int64_t wrong = 0;
    for (const auto rank : world.all_gather_value(count_wrong(world, bytes))) wrong += rank;
    out.wrong += wrong;
    out.table +=
        fmt::format("{:>10} {:>12.4f} {:>12.4f} {:>8.2f}", human_bytes(static_cast<double>(timing.bytes)),
                    timing.ordered_s * 1e3, timing.native_s * 1e3, timing.ordered_s / timing.native_s);
    for (const double seconds : {timing.ordered_s, timing.native_s})
      out.table += fmt::format(" {:>12.2f} {:>12.2f}", algorithm_bandwidth(timing.bytes, seconds) * 1e-9,
                               bus_bandwidth(timing.bytes, seconds, world.size()) * 1e-9);
    out.table += fmt::format(" {:>8}\n", wrong);
  }
  return out;
}

}  // namespace expunge::comm
