// Recordings of LibTorch's work as CUDA graphs.
#pragma once

#include <memory>

#include "tensor/captured.hpp"

namespace expunge::cuda {

std::unique_ptr<tensor::Captured> make_graph();

}  // namespace expunge::cuda
