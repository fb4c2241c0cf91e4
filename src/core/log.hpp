// Progress messages on standard error. Standard output is for results. Under several ranks every line begins
// with
// `[rank 3/8]`; informative lines come from rank 0 only, warnings from any rank. `--log-format json` writes
// one JSON object a line.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace expunge::log {

enum class Format { kText, kJson };

void set_format(Format format);
void set_rank(int rank, int ranks);  // ranks == 1: no prefix
void set_quiet(bool quiet);          // drops info lines
void write(std::string_view level, std::string_view message, bool all_ranks);
bool to_terminal();         // standard error is a terminal and the format is text
std::string rank_prefix();  // "[rank 3/8] " or ""

template <class... Args>
void info(fmt::format_string<Args...> f, Args&&... args) {
  write("info", fmt::format(f, std::forward<Args>(args)...), false);
}
template <class... Args>
void warn(fmt::format_string<Args...> f, Args&&... args) {
  write("warning", fmt::format(f, std::forward<Args>(args)...), true);
}

}  // namespace expunge::log
