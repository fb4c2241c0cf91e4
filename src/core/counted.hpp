// A number with its noun.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string_view>

namespace expunge {

// "1 rank", "3 ranks". Nouns whose plural ends in s.
inline std::string counted(std::int64_t n, std::string_view noun) {
  return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s");
}

}  // namespace expunge
