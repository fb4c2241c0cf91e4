// What an ordered sum must give: its documented tree by plain recursion, over leaves that tell orders of
// additions apart.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "comm/ordered_sum.hpp"
#include "core/rng.hpp"

namespace expunge::test {

// Leaf `leaf` of a sum: magnitudes from 2^-20 to 2^20 with both signs, where huge values cancel, so that
// almost every other order of additions gives other bits.
inline std::vector<float> leaf_values(std::int64_t leaf, std::int64_t count, std::uint64_t seed = 1) {
  const Rng rng = Rng(seed, "leaf").sub(static_cast<std::uint64_t>(leaf));
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t random = rng.bits(static_cast<std::uint64_t>(i));
    const auto exponent = static_cast<std::uint32_t>(127 - 20 + (random >> 32) % 41);
    const auto sign_and_mantissa = static_cast<std::uint32_t>(random) & 0x807fffffu;
    values[static_cast<std::size_t>(i)] = std::bit_cast<float>(sign_and_mantissa | exponent << 23);
  }
  return values;
}

// The documented tree by plain recursion: node (level, index) is the sum of its two children, or its only
// child.
inline std::vector<float> node_sum(int level, std::int64_t index, std::int64_t leaves, std::int64_t count,
                                   std::uint64_t seed) {
  if (level == 0) return leaf_values(index, count, seed);
  auto left = node_sum(level - 1, 2 * index, leaves, count, seed);
  const std::int64_t children = (leaves + (std::int64_t{1} << (level - 1)) - 1) >> (level - 1);
  if (2 * index + 1 >= children) return left;
  const auto right = node_sum(level - 1, 2 * index + 1, leaves, count, seed);
  for (std::size_t i = 0; i < left.size(); ++i) left[i] += right[i];
  return left;
}

inline std::vector<float> tree_sum(std::int64_t leaves, std::int64_t count, std::uint64_t seed = 1) {
  if (leaves == 0) return std::vector<float>(static_cast<std::size_t>(count), 0.0f);
  int level = 0;
  while ((std::int64_t{1} << level) < leaves) ++level;
  return node_sum(level, 0, leaves, count, seed);
}

inline void push_leaves(comm::OrderedSum& sum, std::int64_t leaves, std::int64_t count,
                        std::uint64_t seed = 1) {
  sum.begin(leaves);
  for (auto leaf = sum.first_leaf(); leaf < sum.last_leaf(); ++leaf) {
    const auto values = leaf_values(leaf, count, seed);
    std::copy(values.begin(), values.end(), sum.leaf());
    sum.push();
  }
}

inline bool same_bits(const float* a, const std::vector<float>& b) {
  return b.empty() || std::memcmp(a, b.data(), b.size() * sizeof(float)) == 0;
}

}  // namespace expunge::test
