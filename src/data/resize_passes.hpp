// The two passes of resize.hpp: sums of 8-bit pixels with 22-bit weights, in 32-bit integers, so vector code
// and plain code give the same bytes.
#pragma once

#include <cstdint>
#include <vector>

namespace expunge::data {

inline constexpr int kPrecision = 22;  // bits of a weight behind the point

// Target pixel i is the sum over x < count[i] of weights[i * stride + x] * pixel first[i] + x. The rows of
// weights are filled up with zeros to `stride`, a multiple of 4.
struct Taps {
  int stride = 0;
  std::vector<int> first, count;
  std::vector<std::int32_t> weights;
};

// `rows` rows of `width` pixels at `source` -> rows of taps.first.size() pixels. No byte at or behind `end`
// is read.
void pass_across(const std::uint8_t* source, const std::uint8_t* end, std::int64_t width, std::int64_t rows,
                 std::int64_t channels, const Taps& taps, std::uint8_t* out);

// Rows of `bytes` bytes at `source`, of which the first is row `first` of the image -> taps.first.size()
// rows.
void pass_down(const std::uint8_t* source, std::int64_t bytes, int first, const Taps& taps,
               std::uint8_t* out);

}  // namespace expunge::data
