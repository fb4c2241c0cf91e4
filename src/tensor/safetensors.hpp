// The safetensors format: u64 header length, JSON header, raw little-endian data.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "tensor/torch.hpp"

namespace expunge::tensor {

struct Safetensors {
  // On the host. Views of the mapped file where its alignment allows that, so never write into them.
  std::map<std::string, torch::Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

// Reads and checks everything: header at most 100 MB, no duplicate names, known dtypes (F64 F32 F16 BF16 I64
// I32 I16 I8 U8 BOOL), sizes that fit their shapes, regions without holes or overlap up to the end of the
// file. DataError 65 names the file and the tensor, 66 when absent.
Safetensors read_safetensors(const std::filesystem::path& path);

// Writes atomically; tensors ordered by descending element size, then name; `format` = "pt" is added to the
// metadata.
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, torch::Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace expunge::tensor
