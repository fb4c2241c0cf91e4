// Checkpoints of any published form as named tensors: safetensors, PyTorch's .bin/.pt/.pth in the ZIP
// container and the older one (before 1.6), and either in shards with an index.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tensor/torch.hpp"

namespace expunge::tensor {

struct Checkpoint {
  // On the host, in the file's dtype. Views of the mapped files where alignment and strides allow that: never
  // write into them.
  std::map<std::string, torch::Tensor> tensors;
  std::vector<std::filesystem::path> files;  // what was read
};

// A file, told by its contents, or a folder with one of model.safetensors, model.safetensors.index.json,
// pytorch_model.bin, pytorch_model.bin.index.json, looked for in this order. No code of a pickle is run
// (pickle.hpp). DataError 66 for what is absent, 65 with file and tensor for what is damaged or refused: also
// an index that names a file outside the folder, and a shard without a tensor that the index promises.
Checkpoint read_checkpoint(const std::filesystem::path& path);

}  // namespace expunge::tensor
