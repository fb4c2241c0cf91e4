// Log-probabilities of chosen tokens over large vocabularies.
#pragma once

#include "tensor/torch.hpp"

namespace expunge::tasks {

// log softmax(logits)[id] at each place, float [...]; 0 (and no gradient) where the id is negative. logits
// [..., vocabulary], float or bf16; ids [...] int64. On a processor a few rows at a time pass through the
// caches, and nothing of the logits' size is made but their gradient. Differentiable once.
torch::Tensor log_probability_of(const torch::Tensor& ids, const torch::Tensor& logits);

}  // namespace expunge::tasks
