#include "comm/bench_allreduce.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "core/counted.hpp"
#include "core/median.hpp"
#include "core/text.hpp"

namespace expunge::comm {
namespace {

constexpr int kWarmUps = 3;
constexpr int kFewest = 5, kMost = 200;

enum class Kind { kFlat, kHierarchical, kNative };

OrderedSum make_sum(Communicator& comm, std::int64_t count, const Arithmetic& arithmetic, Kind kind) {
  return OrderedSum(comm, count, arithmetic, kind == Kind::kHierarchical ? OrderedSum::kAsTheNodesAre : 1);
}

std::vector<Kind> kinds_of(Communicator& comm) {
  if (OrderedSum(comm, 0).hierarchical()) return {Kind::kFlat, Kind::kHierarchical, Kind::kNative};
  return {Kind::kFlat, Kind::kNative};
}

// Seconds of one sum on the slowest rank. Filling the leaf is not part of it.
double round_seconds(Communicator& comm, OrderedSum& sum, const float* zeros, const Arithmetic& arithmetic,
                     std::int64_t count, Kind kind) {
  sum.begin(comm.size());
  arithmetic.copy(sum.leaf(), zeros, count);
  sum.push();
  comm.barrier();
  const auto began = std::chrono::steady_clock::now();
  kind == Kind::kNative ? sum.finish_native() : sum.finish();
  const double mine = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const auto all = comm.all_gather_value(mine);
  return *std::max_element(all.begin(), all.end());
}

}  // namespace

AllreduceTiming time_allreduce(Communicator& comm, const Arithmetic& arithmetic, std::int64_t bytes,
                               const std::function<void()>& tick, double wanted_seconds) {
  const std::int64_t count = std::max<std::int64_t>(1, bytes / static_cast<std::int64_t>(sizeof(float)));
  const std::unique_ptr<float, std::function<void(float*)>> zeros(arithmetic.allocate(count),
                                                                  arithmetic.release);
  arithmetic.zero(zeros.get(), count);
  AllreduceTiming out;
  out.bytes = count * static_cast<std::int64_t>(sizeof(float));
  for (const Kind kind : kinds_of(comm)) {
    OrderedSum sum = make_sum(comm, count, arithmetic, kind);
    double warm = 0;
    for (int i = 0; i < kWarmUps; ++i) {
      tick();
      warm = round_seconds(comm, sum, zeros.get(), arithmetic, count, kind);
    }
    // Every rank saw the same `warm`, so all agree on the number of rounds.
    const int rounds =
        static_cast<int>(std::clamp(wanted_seconds / std::max(warm, 1e-6), double{kFewest}, double{kMost}));
    std::vector<double> seconds;
    for (int i = 0; i < rounds; ++i) {
      tick();
      seconds.push_back(round_seconds(comm, sum, zeros.get(), arithmetic, count, kind));
    }
    (kind == Kind::kFlat           ? out.ordered_s
     : kind == Kind::kHierarchical ? out.hierarchical_s
                                   : out.native_s) = median(std::move(seconds));
  }
  return out;
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
  const int ranks = comm.size();
  std::int64_t wrong = 0;
  for (const Kind kind : kinds_of(comm)) {
    OrderedSum sum = make_sum(comm, count, host_arithmetic(), kind);
    sum.begin(ranks);
    float* leaf = sum.leaf();
    for (std::int64_t i = 0; i < count; ++i) leaf[i] = static_cast<float>(i % kPeriod + comm.rank());
    sum.push();
    const float* result = kind == Kind::kNative ? sum.finish_native() : sum.finish();
    for (std::int64_t i = 0; i < count; ++i)
      wrong += result[i] != static_cast<float>(i % kPeriod * ranks + ranks * (ranks - 1) / 2);
  }
  return wrong;
}

AllreduceReport bench_allreduce(Runtime& runtime, const std::vector<std::int64_t>& sizes) {
  Communicator& world = runtime.world();
  const bool hierarchical = OrderedSum(world, 0).hierarchical();
  const int inside = hierarchical ? world.ranks_per_node() : world.size();
  AllreduceReport out;
  out.table = fmt::format(
      "all-reduce, {}{}, transport {}, {}; bandwidths in GB/s: alg = bytes / seconds, bus = alg * 2 "
      "(ranks - 1) / ranks\n{:>10} {:>12} {:>12} {:>8} {:>12} {:>12} {:>12} {:>12}",
      counted(world.size(), "rank"), hierarchical ? fmt::format(" on {} nodes", world.size() / inside) : "",
      world.transport(), runtime.mpi_version(), "size", "ordered ms", "native ms", "ratio", "ordered alg",
      "ordered bus", "native alg", "native bus");
  if (hierarchical)
    out.table += fmt::format(" {:>12} {:>8} {:>13}", "hierarch. ms", "ratio", "hierarch. bus");
  out.table += fmt::format(" {:>8}\n", "wrong");
  for (const auto bytes : sizes) {
    runtime.phase(fmt::format("bench allreduce {}", human_bytes(static_cast<double>(bytes))));
    const auto timing = time_allreduce(world, host_arithmetic(), bytes, [&] { runtime.tick(); });
    std::int64_t wrong = 0;
    for (const auto rank : world.all_gather_value(count_wrong(world, bytes))) wrong += rank;
    out.wrong += wrong;
    const auto bus = [&](double seconds) {
      return bus_bandwidth(timing.bytes, seconds, world.size()) * 1e-9;
    };
    out.table +=
        fmt::format("{:>10} {:>12.4f} {:>12.4f} {:>8.2f}", human_bytes(static_cast<double>(timing.bytes)),
                    timing.ordered_s * 1e3, timing.native_s * 1e3, timing.ordered_s / timing.native_s);
    for (const double seconds : {timing.ordered_s, timing.native_s})
      out.table += fmt::format(" {:>12.2f} {:>12.2f}", algorithm_bandwidth(timing.bytes, seconds) * 1e-9,
                               bus(seconds));
    if (hierarchical)
      out.table += fmt::format(" {:>12.4f} {:>8.2f} {:>13.2f}", timing.hierarchical_s * 1e3,
                               timing.hierarchical_s / timing.native_s, bus(timing.hierarchical_s));
    out.table += fmt::format(" {:>8}\n", wrong);
  }
  return out;
}

}  // namespace expunge::comm
