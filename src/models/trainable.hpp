// Which tensors of a model a run changes: `trainable = "all" | "fusion" | "lora:20%" | "lora:r=8"`.
// Torch-free.
//
// fusion: only the module that joins modalities, without the task head (the "-F" variants of Cheng & Amiri
// 2024). lora: W x + s B A (x) beside the query and value projections (Hu et al. 2022), A [rank, in] and
// B [out, rank], plus the whole head, as MU-Bench sets it. The share x of "lora:x%" is P_lora / (P_base +
// P_lora), P_lora = rank * sum(in + out); the rank is rounded, so the realised share is stored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/descriptor.hpp"

namespace expunge::models {

struct Trainable {
  enum class Kind { kAll, kFusion, kLora } kind = Kind::kAll;
  std::vector<std::string> prefixes;    // of trainable tensors, for fusion and lora's head
  std::vector<Projection> projections;  // lora: where adapters lie
  std::int64_t rank = 0;                // lora
  std::int64_t parameters = 0;          // that are trained
  double share = 1;                     // lora: P_lora / (P_base + P_lora); else of all parameters
  bool trains(const std::string& tensor) const;
};

// ConfigError says what is wrong with the text, or what the model lacks.
Trainable resolve_trainable(const std::string& text, const Descriptor& descriptor,
                            const nlohmann::json& config);
// The cost of a sample when these are trained.
Cost cost_of(const Descriptor& descriptor, const nlohmann::json& config, std::int64_t height,
             std::int64_t width, const Trainable& trainable);

}  // namespace expunge::models
