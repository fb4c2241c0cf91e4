#include "cuda/cuda_check.hpp"

#include "core/error.hpp"

namespace expunge::cuda {

void check_cuda(cudaError_t result, const char* call) {
  if (result == cudaSuccess) return;
  throw CommError(
      fmt::format("{} failed: {} ({})", call, cudaGetErrorString(result), cudaGetErrorName(result)));
}

void check_nccl(ncclResult_t result, const char* call) {
  if (result == ncclSuccess || result == ncclInProgress) return;
  const char* detail = ncclGetLastError(nullptr);
  throw CommError(fmt::format("{} failed: {}{}{}", call, ncclGetErrorString(result),
                              detail && *detail ? ": " : "", detail ? detail : ""));
}

}  // namespace expunge::cuda
