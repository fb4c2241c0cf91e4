#include "data/resize_passes.hpp"

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace expunge::data {
namespace {

constexpr std::int32_t kHalf = 1 << (kPrecision - 1);

std::uint8_t rounded(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kPrecision, 0, 255));
}

void across_plain(const std::uint8_t* row, std::int64_t channels, const Taps& taps, std::size_t from,
                  std::uint8_t* out) {
  for (std::size_t i = from; i < taps.first.size(); ++i) {
    const std::int32_t* weights = taps.weights.data() + i * static_cast<std::size_t>(taps.stride);
    const std::uint8_t* pixel = row + taps.first[i] * channels;
    for (std::int64_t c = 0; c < channels; ++c) {
      std::int32_t sum = kHalf;
      for (int x = 0; x < taps.count[i]; ++x) sum += pixel[x * channels + c] * weights[x];
      out[static_cast<std::int64_t>(i) * channels + c] = rounded(sum);
    }
  }
}

void down_plain(const std::uint8_t* const* rows, const std::int32_t* weights, int count, std::int64_t from,
                std::int64_t bytes, std::uint8_t* out) {
  for (std::int64_t x = from; x < bytes; ++x) {
    std::int32_t sum = kHalf;
    for (int y = 0; y < count; ++y) sum += rows[y][x] * weights[y];
    out[x] = rounded(sum);
  }
}

#if defined(__x86_64__)

// A weight w is high * 2^11 + low with 0 <= low < 2^11 and high of 16 bits: products of 16-bit pairs are then
// summed by one instruction each, and (sum of highs << 11) + sum of lows is the sum of the products, exactly.
constexpr int kLowBits = 11;

std::int32_t pair_of(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<std::uint16_t>(a)) |
                                   static_cast<std::uint32_t>(static_cast<std::uint16_t>(b)) << 16);
}

// The weights of every target pixel as pairs (taps 0 and 1, taps 2 and 3, ...), highs and lows.
struct Pairs {
  std::vector<std::int32_t> high, low;
  explicit Pairs(const Taps& taps) : high(taps.weights.size() / 2), low(taps.weights.size() / 2) {
    for (std::size_t i = 0; i < high.size(); ++i) {
      const std::int32_t a = taps.weights[2 * i], b = taps.weights[2 * i + 1];
      constexpr std::int32_t mask = (1 << kLowBits) - 1;
      high[i] = pair_of(a >> kLowBits, b >> kLowBits);
      low[i] = pair_of(a & mask, b & mask);
    }
  }
};

// Three channels, two rows at a time (one in each half of a register), four taps a load.
__attribute__((target("avx2"))) void across_rgb(const std::uint8_t* row, const std::uint8_t* other,
                                                const Taps& taps, const Pairs& pairs, std::size_t pixels,
                                                std::uint8_t* out, std::uint8_t* other_out) {
  // Bytes r0 r1 g0 g1 b0 b1 of taps 0 and 1, each widened to 16 bits; the same of taps 2 and 3.
  const __m256i first =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  const __m256i second =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1));
  const __m256i half = _mm256_set1_epi32(kHalf);
  for (std::size_t i = 0; i < pixels; ++i) {
    const std::int64_t at = taps.first[i] * 3;
    const std::size_t weights = i * static_cast<std::size_t>(taps.stride) / 2;
    __m256i high = _mm256_setzero_si256(), low = half;
    for (int x = 0; x < taps.count[i]; x += 4) {
      const __m256i pixel = _mm256_inserti128_si256(
          _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + at + 3 * x))),
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(other + at + 3 * x)), 1);
      const __m256i a = _mm256_shuffle_epi8(pixel, first), b = _mm256_shuffle_epi8(pixel, second);
      const std::size_t w = weights + static_cast<std::size_t>(x) / 2;
      high = _mm256_add_epi32(high, _mm256_madd_epi16(a, _mm256_set1_epi32(pairs.high[w])));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(a, _mm256_set1_epi32(pairs.low[w])));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(b, _mm256_set1_epi32(pairs.high[w + 1])));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(b, _mm256_set1_epi32(pairs.low[w + 1])));
    }
    const __m256i sum =
        _mm256_srai_epi32(_mm256_add_epi32(_mm256_slli_epi32(high, kLowBits), low), kPrecision);
    const __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(sum, sum), sum);
    const auto one = static_cast<std::uint32_t>(_mm256_extract_epi32(bytes, 0)),
               two = static_cast<std::uint32_t>(_mm256_extract_epi32(bytes, 4));
    for (int c = 0; c < 3; ++c) {
      out[3 * i + static_cast<std::size_t>(c)] = static_cast<std::uint8_t>(one >> 8 * c);
      other_out[3 * i + static_cast<std::size_t>(c)] = static_cast<std::uint8_t>(two >> 8 * c);
    }
  }
}

// 16 bytes of a row at a time, two rows of the source an instruction. Returns the bytes done.
__attribute__((target("avx2"))) std::int64_t down_many(const std::uint8_t* const* rows,
                                                       const std::int32_t* high_pairs,
                                                       const std::int32_t* low_pairs, int count,
                                                       std::int64_t bytes, std::uint8_t* out) {
  const __m256i half = _mm256_set1_epi32(kHalf);
  std::int64_t x = 0;
  for (; x + 16 <= bytes; x += 16) {
    __m256i high_a = _mm256_setzero_si256(), high_b = high_a, low_a = half, low_b = half;
    for (int y = 0; y < count; y += 2) {
      const __m256i one =
          _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[y] + x)));
      const __m256i two =
          y + 1 < count
              ? _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[y + 1] + x)))
              : _mm256_setzero_si256();
      const __m256i a = _mm256_unpacklo_epi16(one, two), b = _mm256_unpackhi_epi16(one, two);
      const __m256i high = _mm256_set1_epi32(high_pairs[y / 2]), low = _mm256_set1_epi32(low_pairs[y / 2]);
      high_a = _mm256_add_epi32(high_a, _mm256_madd_epi16(a, high));
      high_b = _mm256_add_epi32(high_b, _mm256_madd_epi16(b, high));
      low_a = _mm256_add_epi32(low_a, _mm256_madd_epi16(a, low));
      low_b = _mm256_add_epi32(low_b, _mm256_madd_epi16(b, low));
    }
    const __m256i a =
        _mm256_srai_epi32(_mm256_add_epi32(_mm256_slli_epi32(high_a, kLowBits), low_a), kPrecision);
    const __m256i b =
        _mm256_srai_epi32(_mm256_add_epi32(_mm256_slli_epi32(high_b, kLowBits), low_b), kPrecision);
    // unpack and pack both work within the halves of a register: the order is that of the bytes again.
    const __m256i words = _mm256_packs_epi32(a, b);
    const __m128i packed =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + x), packed);
  }
  return x;
}

bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2");
  return has;
}

#endif

}  // namespace

void pass_across(const std::uint8_t* source, const std::uint8_t* end, std::int64_t width, std::int64_t rows,
                 std::int64_t channels, const Taps& taps, std::uint8_t* out) {
  const auto target = static_cast<std::int64_t>(taps.first.size()) * channels, row_bytes = width * channels;
  std::int64_t y = 0;
#if defined(__x86_64__)
  if (channels == 3 && has_avx2()) {
    const Pairs pairs(taps);
    // A load takes 16 bytes from a tap on: only where these are still inside the image.
    std::int64_t reach = 0;
    for (std::size_t i = 0; i < taps.first.size(); ++i)
      reach = std::max<std::int64_t>(reach, (taps.first[i] + (taps.count[i] + 3) / 4 * 4) * 3 + 4);
    for (; y + 2 <= rows && source + (y + 1) * row_bytes + reach <= end; y += 2)
      across_rgb(source + y * row_bytes, source + (y + 1) * row_bytes, taps, pairs, taps.first.size(),
                 out + y * target, out + (y + 1) * target);
  }
#endif
  for (; y < rows; ++y) across_plain(source + y * row_bytes, channels, taps, 0, out + y * target);
}

void pass_down(const std::uint8_t* source, std::int64_t bytes, int first, const Taps& taps,
               std::uint8_t* out) {
#if defined(__x86_64__)
  const Pairs pairs(taps);
#endif
  std::vector<const std::uint8_t*> rows(static_cast<std::size_t>(taps.stride));
  for (std::size_t i = 0; i < taps.first.size(); ++i, out += bytes) {
    for (int y = 0; y < taps.count[i]; ++y)
      rows[static_cast<std::size_t>(y)] = source + (taps.first[i] - first + y) * bytes;
    std::int64_t done = 0;
#if defined(__x86_64__)
    const std::size_t at = i * static_cast<std::size_t>(taps.stride) / 2;
    if (has_avx2())
      done = down_many(rows.data(), pairs.high.data() + at, pairs.low.data() + at, taps.count[i], bytes, out);
#endif
    down_plain(rows.data(), taps.weights.data() + i * static_cast<std::size_t>(taps.stride), taps.count[i],
               done, bytes, out);
  }
}

}  // namespace expunge::data
