// What the plugin asks of LibTorch.
#pragma once

namespace expunge::cuda {

void* torch_stream();               // the current stream of the current device
void torch_use_device(int device);  // tells LibTorch, and CUDA, which device is current

}  // namespace expunge::cuda
