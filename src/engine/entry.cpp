// The one symbol that the command line opens in this library. Owns the runtime: errors here end all ranks.
#include <ATen/Parallel.h>
#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "comm/bench_allreduce.hpp"
#include "core/error.hpp"
#include "core/fault.hpp"
#include "core/reason.hpp"
#include "engine/run.hpp"
#include "tensor/torch.hpp"

namespace {

// Training frees and allocates the same blocks every step; giving them back to the system each time costs
// page faults.
void keep_freed_memory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
}

// A machine that counts every address as memory (vm.overcommit_memory = 2).
bool counts_addresses() {
  std::ifstream in("/proc/sys/vm/overcommit_memory");
  int mode = 2;
  in >> mode;
  return mode == 2;
}

// Weights, optimiser state and activations on huge pages: fewer faults and fewer misses of address
// translation. The heap is stretched once, advised and left to malloc untouched, so it costs addresses alone.
void use_huge_pages() {
#if !defined(__SANITIZE_ADDRESS__)
  constexpr std::size_t kBlock = std::size_t{512} << 20, kPage = std::size_t{2} << 20;
  if (counts_addresses()) return;
  std::array<void*, 8> blocks{};
  std::uintptr_t first = UINTPTR_MAX, last = 0;
  for (void*& block : blocks) {
    block = std::malloc(kBlock);
    if (!block) break;
    const auto at = reinterpret_cast<std::uintptr_t>(block);
    first = std::min(first, at), last = std::max(last, at + kBlock);
  }
  // Side by side, as a heap grows; anything else is not worth the trouble.
  if (blocks.back() && last - first < blocks.size() * (kBlock + kPage)) {
    const std::uintptr_t from = (first + kPage - 1) / kPage * kPage, to = last / kPage * kPage;
    ::madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
  }
  for (void* block : blocks) std::free(block);
#endif
}

// Sums that are wrong are told by the exit code, too.
int bench_reduction(expunge::comm::Runtime& runtime, const nlohmann::json& request) {
  const auto report =
      expunge::comm::bench_allreduce(runtime, request.at("sizes").get<std::vector<std::int64_t>>());
  if (runtime.world().rank() == 0) fmt::print("{}", report.table);
  std::fflush(stdout);
  return report.wrong == 0 ? expunge::kExitOk : expunge::kExitNotAsAsked;
}

int dispatch(expunge::comm::Runtime& runtime, const std::string& command, const nlohmann::json& request) {
  if (command == "run") return expunge::run_sweep(runtime, request);
  if (command == "verify") return expunge::verify_store(runtime, request);
  if (command == "scale-probe") return expunge::probe_scaling(runtime, request);
  if (command == "bench-step") return expunge::bench_step(runtime, request);
  if (command == "bench-allreduce") return bench_reduction(runtime, request);
  throw expunge::InternalError("unknown engine command " + command);
}

}  // namespace

extern "C" int expunge_engine_main(const char* command, const char* request_text) {
  using namespace expunge;
  keep_freed_memory();
  use_huge_pages();
  comm::Runtime runtime(nullptr, nullptr);
  try {
    fault::set_place(runtime.world().rank(), 0, runtime.world().size());
    at::set_num_interop_threads(1);
    at::set_num_threads(1);
    at::globalContext().setDeterministicAlgorithms(true, false);
    at::globalContext().setBenchmarkCuDNN(false);
    // Of deterministic mode: new tensors would be filled with NaN first, a pass over every result.
    at::globalContext().setDeterministicFillUninitializedMemory(false);
    const int code = dispatch(runtime, command, nlohmann::json::parse(request_text));
    runtime.finish();
    return code;
  } catch (const CommError& error) {
    runtime.abort(error.exit_code(), error.what());
  } catch (const InternalError& error) {
    runtime.abort(error.exit_code(), error.what());
  } catch (const AgreedError& error) {
    if (runtime.world().rank() == 0) {
      fmt::print(stderr, "expunge: {}\n", error.what());
      leave_reason(error.what());
    }
    runtime.finish();
    return error.exit_code();
  } catch (const Error& error) {
    // Seen by this rank alone: the others may be waiting in a collective.
    runtime.abort(error.exit_code(), error.what());
  } catch (const std::exception& error) {
    runtime.abort(kExitInternal, error.what());
  }
}
