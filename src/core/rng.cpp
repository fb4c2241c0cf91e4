#include "core/rng.hpp"

#include <cmath>
#include <numbers>
#include <numeric>

#include "core/error.hpp"

namespace expunge {
namespace {

// SplitMix64's finaliser: spreads structured keys over 64 bits.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

double to_unit(std::uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

}  // namespace

Philox4 philox(std::uint64_t key, std::uint64_t counter_low, std::uint64_t counter_high) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  Philox4 c{static_cast<std::uint32_t>(counter_low), static_cast<std::uint32_t>(counter_low >> 32),
            static_cast<std::uint32_t>(counter_high), static_cast<std::uint32_t>(counter_high >> 32)};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0], p1 = std::uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

Rng::Rng(std::uint64_t seed, std::string_view purpose) : key_(mix(mix(seed) ^ purpose_code(purpose))) {}

Rng Rng::sub(std::uint64_t coordinate) const { return Rng(mix(key_ ^ mix(coordinate + 1))); }

std::uint64_t Rng::bits(std::uint64_t item, std::uint64_t index) const {
  const Philox4 b = philox(key_, item, index);
  return (std::uint64_t{b[1]} << 32) | b[0];
}

double Rng::uniform(std::uint64_t item, std::uint64_t index) const { return to_unit(bits(item, index)); }

double Rng::normal(std::uint64_t item, std::uint64_t index) const {
  const Philox4 b = philox(key_, item, index);
  const double u = to_unit((std::uint64_t{b[1]} << 32) | b[0]),
               v = to_unit((std::uint64_t{b[3]} << 32) | b[2]);
  return std::sqrt(-2.0 * std::log1p(-u)) * std::cos(2.0 * std::numbers::pi * v);
}

std::uint64_t Rng::below(std::uint64_t bound, std::uint64_t item, std::uint64_t index) const {
  EXPUNGE_CHECK(bound > 0, "Rng::below needs a positive bound");
  // Multiply-shift (Lemire 2019) without rejection: the bias is below bound / 2^64.
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>(bits(item, index)) * bound) >> 64);
}

std::vector<std::int64_t> Rng::permutation(std::int64_t count) const {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::int64_t i = count - 1; i > 0; --i)
    std::swap(order[static_cast<std::size_t>(i)],
              order[below(static_cast<std::uint64_t>(i) + 1, static_cast<std::uint64_t>(i))]);
  return order;
}

std::vector<std::int64_t> Rng::sample(std::int64_t count, std::int64_t population) const {
  EXPUNGE_CHECK(count <= population, "cannot sample {} of {} without replacement", count, population);
  std::vector<std::int64_t> order(static_cast<std::size_t>(population));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::int64_t i = 0; i < count; ++i) {
    const auto j = i + static_cast<std::int64_t>(
                           below(static_cast<std::uint64_t>(population - i), static_cast<std::uint64_t>(i)));
    std::swap(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]);
  }
  order.resize(static_cast<std::size_t>(count));
  return order;
}

}  // namespace expunge
