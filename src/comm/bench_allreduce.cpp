#include "comm/bench_allreduce.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "core/text.hpp"

namespace expunge::comm {
namespace {

constexpr int kWarmUps = 3;
constexpr double kWantedSeconds = 1.0;  // of measuring, for each size and kind
constexpr int kFewest = 5, kMost = 200;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

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
                               const std::function<void()>& tick) {
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
        static_cast<int>(std::clamp(kWantedSeconds / std::max(warm, 1e-6), double{kFewest}, double{kMost}));
    std::vector<double> seconds;
    for (int i = 0; i < rounds; ++i) {
      tick();
      seconds.push_back(round_seconds(comm, sum, zeros.get(), arithmetic, count, ordered));
    }
    medians[ordered ? 0 : 1] = median(std::move(seconds));
  }
  return {count * static_cast<std::int64_t>(sizeof(float)), medians[0], medians[1]};
}

std::string bench_allreduce(Runtime& runtime, const std::vector<std::int64_t>& sizes) {
  Communicator& world = runtime.world();
  const double bus = 2.0 * (world.size() - 1) / world.size();
  std::string table =
      fmt::format("all-reduce, {} rank{}, transport {}, {}\n{:>10} {:>12} {:>12} {:>8} {:>14} {:>14}\n",
                  world.size(), world.size() == 1 ? "" : "s", world.transport(), runtime.mpi_version(),
                  "size", "ordered ms", "native ms", "ratio", "ordered GB/s", "native GB/s");
  for (const auto bytes : sizes) {
    runtime.phase(fmt::format("bench allreduce {}", human_bytes(static_cast<double>(bytes))));
    const auto timing = time_allreduce(world, host_arithmetic(), bytes, [&] { runtime.tick(); });
    const auto bandwidth = [&](double seconds) {
      return static_cast<double>(timing.bytes) / seconds * bus * 1e-9;
    };
    table += fmt::format("{:>10} {:>12.4f} {:>12.4f} {:>8.2f} {:>14.2f} {:>14.2f}\n",
                         human_bytes(static_cast<double>(timing.bytes)), timing.ordered_s * 1e3,
                         timing.native_s * 1e3, timing.ordered_s / timing.native_s,
                         bandwidth(timing.ordered_s), bandwidth(timing.native_s));
  }
  return table;
}

}  // namespace expunge::comm
