// Numbers that stand for a missing or an unbounded value.
#pragma once

#include <limits>

namespace expunge {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace expunge
