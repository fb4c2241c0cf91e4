// Attention as the transformers share it, written out: the same products in the same order as the reference.
#pragma once

#include "tensor/torch.hpp"

namespace expunge::models {

// [n, tokens, heads * width] as [n, heads, tokens, width], and back.
torch::Tensor split_heads(const torch::Tensor& x, std::int64_t heads);
torch::Tensor join_heads(const torch::Tensor& x);

// What is added to the scores of padded keys: 0 where `mask` [n, tokens] is 1, the lowest number of `type`
// where it is 0; [n, 1, 1, tokens].
torch::Tensor additive_mask(const torch::Tensor& mask, torch::ScalarType type);

// dropout(softmax(q k^T / sqrt(width) + added)) v for q, k, v [n, heads, tokens, width]; `added` broadcasts
// against [n, heads, tokens, tokens] and may be undefined. On a GPU rounded in another order.
torch::Tensor attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                        const torch::Tensor& added, double dropout, bool training);

// Distances i - j of `tokens` tokens, [tokens, tokens] int64: as they are up to buckets / 2, in logarithmic
// steps beyond, so that `reach` - 1 becomes buckets - 1; all as they are with 0 buckets (He et al. 2021).
torch::Tensor bucketed_distances(std::int64_t tokens, std::int64_t buckets, std::int64_t reach);

}  // namespace expunge::models
