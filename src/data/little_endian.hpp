// Numbers in packed samples: least byte first.
#pragma once

#include <cstdint>

namespace expunge::data {

// The number in `count` bytes, at most eight.
inline std::int64_t little_endian(const std::uint8_t* bytes, int count) {
  std::uint64_t value = 0;
  for (int i = count; i-- > 0;) value = value << 8 | bytes[i];
  return static_cast<std::int64_t>(value);
}

}  // namespace expunge::data
