// CUDA and NCCL calls, checked: CommError naming the call.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

namespace expunge::cuda {

void check_cuda(cudaError_t result, const char* call);
// ncclInProgress is not a failure: the caller polls.
void check_nccl(ncclResult_t result, const char* call);

}  // namespace expunge::cuda
