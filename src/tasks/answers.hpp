// The task of a causal language model, and the answers that it may put in the place of a sample's own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "tasks/task.hpp"

namespace expunge::tasks {

// Targets that are not asked for (torch's and Hugging Face's convention).
inline constexpr std::int64_t kIgnored = -100;

// Token ids, with the token that ends a text, without padding.
struct Answers {
  std::int64_t donors = 0;                                                  // answers of D_r
  std::function<std::vector<std::int64_t>(std::int64_t place)> donor = {};  // of 0 .. donors - 1
  std::vector<std::vector<std::int64_t>> refusals = {};
};

// Batches: inputs "input_ids" and "attention_mask" [n, tokens] int64, padded behind; labels [n, tokens].
std::unique_ptr<Task> make_causal_lm(std::int64_t vocabulary, Answers answers);

}  // namespace expunge::tasks
