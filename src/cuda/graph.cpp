// LibTorch's headers, and none of this project's that bring {fmt} along.
#include "cuda/graph.hpp"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <exception>

namespace expunge::cuda {
namespace {

// Two graphs that share one pool of memory: the forward pass leaves there what the backward pass reads.
// LibTorch registers the default generator with a graph that it captures: a replay draws from the seed and
// the offset that the generator has then, and advances it.
class Graph final : public tensor::Captured {
 public:
  void record(const std::function<void()>& forward, const std::function<void()>& between,
              const std::function<void()>& backward) override {
    const c10::cuda::CUDAStream outside = c10::cuda::getCurrentCUDAStream();
    c10::cuda::device_synchronize();
    // Not on the default stream, which cannot be captured; in the same stream both passes, because autograd
    // runs backward where forward ran.
    const c10::cuda::CUDAStream inside = c10::cuda::getStreamFromPool(false, outside.device_index());
    {
      const c10::cuda::CUDAStreamGuard guard(inside);
      capture(forward_, {0, 0}, forward);
      between();
      capture(backward_, forward_.pool(), backward);
    }
    c10::cuda::device_synchronize();
  }
  void forward() override { forward_.replay(); }
  void backward() override { backward_.replay(); }

 private:
  // Other threads (input that is read ahead, NCCL's own) may go on: what they do is no part of it.
  static void capture(at::cuda::CUDAGraph& graph, c10::MempoolId_t pool, const std::function<void()>& work) {
    graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    std::exception_ptr problem;
    try {
      work();
    } catch (...) {
      problem = std::current_exception();
    }
    try {
      graph.capture_end();
    } catch (...) {
      if (!problem) problem = std::current_exception();
    }
    if (problem) std::rethrow_exception(problem);
  }

  at::cuda::CUDAGraph forward_, backward_;
};

}  // namespace

std::unique_ptr<tensor::Captured> make_graph() { return std::make_unique<Graph>(); }

}  // namespace expunge::cuda
