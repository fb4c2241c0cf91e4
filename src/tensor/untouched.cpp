#include "tensor/untouched.hpp"

#include <sys/mman.h>

#include <new>

namespace expunge::tensor {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kLeast = 4 * kHugePage;  // below, the pages are not worth the system calls

std::size_t bytes_of(std::int64_t n) { return static_cast<std::size_t>(n) * sizeof(float); }

}  // namespace

torch::Tensor untouched_zeros(std::int64_t n, torch::Device device) {
  const auto options = torch::TensorOptions().dtype(torch::kFloat).device(device);
  const std::size_t bytes = bytes_of(n);
  if (!device.is_cpu() || bytes < kLeast) return torch::zeros({n}, options);
  void* memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  ::madvise(memory, bytes, MADV_HUGEPAGE);
  return at::from_blob(
      memory, {n}, [bytes](void* p) { ::munmap(p, bytes); }, options);
}

void release_outside(const torch::Tensor& zeros, std::int64_t first, std::int64_t last) {
  const std::size_t bytes = bytes_of(zeros.numel());
  if (!zeros.device().is_cpu() || bytes < kLeast) return;
  char* base = static_cast<char*>(zeros.data_ptr());
  const auto release = [&](std::size_t from, std::size_t to) {  // whole huge pages inside [from, to)
    from = (from + kHugePage - 1) / kHugePage * kHugePage;
    to = to / kHugePage * kHugePage;
    if (from < to) ::madvise(base + from, to - from, MADV_DONTNEED);
  };
  release(0, bytes_of(first));
  release(bytes_of(last), bytes);
}

}  // namespace expunge::tensor
