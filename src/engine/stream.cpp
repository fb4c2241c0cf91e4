#include "engine/stream.hpp"

#include <algorithm>

namespace expunge {

std::vector<std::int64_t> pass_order(std::uint64_t seed, const std::string& source, std::int64_t pass,
                                     std::int64_t count) {
  return Rng(seed, "order").sub(source).sub(static_cast<std::uint64_t>(pass)).permutation(count);
}

std::vector<Grain> cut_grains(const std::vector<std::int64_t>& batch_sizes, std::int64_t grain) {
  std::vector<Grain> out;
  for (std::size_t s = 0; s < batch_sizes.size(); ++s)
    for (std::int64_t b = 0; b < batch_sizes[s]; b += grain)
      out.push_back({s, b, std::min(b + grain, batch_sizes[s])});
  return out;
}

}  // namespace expunge
