#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "comm/ordered_sum.hpp"

namespace expunge::comm {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Large buffers ask for huge pages: a sum over hundreds of megabytes otherwise spends much of its time in
// page faults.
float* allocate(std::int64_t count) {
  const std::size_t wanted = static_cast<std::size_t>(std::max<std::int64_t>(count, 1)) * sizeof(float);
  const std::size_t alignment = wanted >= kHugePage ? kHugePage : 64;
  const std::size_t bytes = (wanted + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, bytes);
  if (!memory) throw std::bad_alloc();
  if (alignment == kHugePage) ::madvise(memory, bytes, MADV_HUGEPAGE);
  return static_cast<float*>(memory);
}

void add(float* __restrict into, const float* __restrict from, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) into[i] += from[i];
}

}  // namespace

Arithmetic host_arithmetic() {
  Arithmetic host;
  host.allocate = allocate;
  host.release = [](float* memory) { std::free(memory); };
  host.add = add;
  host.copy = [](float* into, const float* from, std::int64_t count) {
    if (count > 0) std::memcpy(into, from, static_cast<std::size_t>(count) * sizeof(float));
  };
  host.zero = [](float* into, std::int64_t count) {
    if (count > 0) std::memset(into, 0, static_cast<std::size_t>(count) * sizeof(float));
  };
  return host;
}

}  // namespace expunge::comm
