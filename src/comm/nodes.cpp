#include "comm/nodes.hpp"

#include <charconv>
#include <cstdlib>
#include <set>
#include <string_view>

#include "core/error.hpp"

namespace expunge::comm {

int even_runs(const std::vector<int>& node_of) {
  if (node_of.empty()) return 1;
  std::size_t length = 1;
  while (length < node_of.size() && node_of[length] == node_of[0]) ++length;
  if (node_of.size() % length != 0) return 1;
  std::set<int> seen;
  for (std::size_t r = 0; r < node_of.size(); ++r) {
    if (r % length != 0 && node_of[r] != node_of[r - 1]) return 1;
    if (r % length == 0 && !seen.insert(node_of[r]).second) return 1;
  }
  return static_cast<int>(length);
}

int declared_ranks_per_node() {
  const char* value = std::getenv("EXPUNGE_RANKS_PER_NODE");
  if (!value) return 0;
  const std::string_view text = value;
  int out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || out < 1)
    throw ConfigError(
        fmt::format("EXPUNGE_RANKS_PER_NODE: expected a number of ranks > 0, got \"{}\"", text));
  return out;
}

}  // namespace expunge::comm
