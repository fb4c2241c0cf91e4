// Why this program ends with an error, for whoever started it.
#pragma once

#include <string_view>

namespace expunge {

// Keeps the line in the file that EXPUNGE_REASON names, where it is set (batch scripts do). The first reason
// stands. Never fails.
void leave_reason(std::string_view message);

}  // namespace expunge
