// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011). A draw is a pure function of
// (seed, purpose, item, index), never of rank, thread or visiting order, so a run gives the same bits on any
// number of ranks and after any resume.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace expunge {

using Philox4 = std::array<std::uint32_t, 4>;

// One Philox4x32-10 block: 128 random bits of (key, counter).
Philox4 philox(std::uint64_t key, std::uint64_t counter_low, std::uint64_t counter_high);

// FNV-1a of a name: turns a purpose such as "relabel" into a number.
constexpr std::uint64_t purpose_code(std::string_view name) {
  std::uint64_t h = 1469598103934665603ull;
  for (char c : name) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return h;
}

// Random numbers of one purpose under one seed. Cheap to copy. Every draw names its item (a sample id, an
// element index ...) and, where one item needs several numbers, an index.
class Rng {
 public:
  Rng(std::uint64_t seed, std::string_view purpose);
  // A stream of its own for one more coordinate of the key (a pass number, a tensor's name ...).
  Rng sub(std::uint64_t coordinate) const;
  Rng sub(std::string_view coordinate) const { return sub(purpose_code(coordinate)); }

  std::uint64_t bits(std::uint64_t item, std::uint64_t index = 0) const;  // 64 random bits
  double uniform(std::uint64_t item, std::uint64_t index = 0) const;      // [0, 1), 53 bits
  double normal(std::uint64_t item, std::uint64_t index = 0) const;       // N(0, 1), Box-Muller
  std::uint64_t below(std::uint64_t bound, std::uint64_t item,
                      std::uint64_t index = 0) const;  // [0, bound), unbiased to 2^-64

  // A permutation of 0..count-1 (Fisher-Yates).
  std::vector<std::int64_t> permutation(std::int64_t count) const;
  // `count` distinct members of 0..population-1, in random order. Requires count <= population.
  std::vector<std::int64_t> sample(std::int64_t count, std::int64_t population) const;

  std::uint64_t key() const { return key_; }

 private:
  explicit Rng(std::uint64_t key) : key_(key) {}
  std::uint64_t key_;
};

}  // namespace expunge
