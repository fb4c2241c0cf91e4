#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/text.hpp"
#include "sweep/sweep.hpp"

namespace expunge::sweep {
namespace {

constexpr std::size_t kShortestPrefix = 6;

std::optional<std::size_t> index_of(const std::string& text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::size_t by_id(const Plan& plan, const std::string& token) {
  const bool is_prefix =
      token.size() >= kShortestPrefix && token.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_prefix)
    throw UsageError(fmt::format("--cells {}: expected cell numbers (0-31), or ids of {} or more hex digits",
                                 token, kShortestPrefix));
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < plan.cells.size(); ++i) {
    if (plan.cells[i].id.compare(0, token.size(), token) != 0) continue;
    if (found)
      throw UsageError(fmt::format("--cells {}: more than one id begins so: {}, {}", token,
                                   plan.cells[*found].id, plan.cells[i].id));
    found = i;
  }
  if (!found) throw UsageError(fmt::format("--cells {}: no cell of this sweep has this id", token));
  return *found;
}

// `@FILE:LINE`: the selection is a line (counted from 0) of a file, as batch scripts write them.
std::string line_of_file(const std::string& selection) {
  const auto colon = selection.rfind(':');
  const auto index = colon == std::string::npos ? std::nullopt : index_of(selection.substr(colon + 1));
  if (!index)
    throw UsageError(fmt::format("--cells {}: expected @FILE:LINE, lines counted from 0", selection));
  const std::string file = selection.substr(1, colon - 1);
  const auto lines = split(read_file(file), '\n');
  if (*index >= lines.size() || lines[*index].empty())
    throw UsageError(fmt::format("--cells {}: {} has no line {}", selection, file, *index));
  return lines[*index];
}

}  // namespace

std::vector<std::size_t> select_cells(const Plan& plan, const std::string& given) {
  const std::string selection = given.rfind("@", 0) == 0 ? line_of_file(given) : given;
  std::vector<std::size_t> out;
  std::vector<bool> taken(plan.cells.size(), false);
  std::unordered_map<std::string_view, std::size_t> ids;  // whole ids are the common case
  for (std::size_t i = 0; i < plan.cells.size(); ++i) ids.emplace(plan.cells[i].id, i);
  const auto take = [&](std::size_t i) {
    if (!taken[i]) out.push_back(i);
    taken[i] = true;
  };
  for (const auto& token : split(selection, ',')) {
    if (const auto found = ids.find(token); found != ids.end()) {
      take(found->second);
      continue;
    }
    const auto parts = split(token, '-');
    const auto first = index_of(parts[0]), last = index_of(parts.back());
    if (parts.size() > 2 || !first || !last ||
        (parts.size() == 1 && *first >= plan.cells.size() && token.size() >= kShortestPrefix)) {
      take(by_id(plan, token));
      continue;
    }
    if (*first > *last) throw UsageError(fmt::format("--cells {}: ends before it begins", token));
    if (*last >= plan.cells.size())
      throw UsageError(
          fmt::format("--cells {}: the sweep has {} cells, numbered from 0", token, plan.cells.size()));
    for (std::size_t i = *first; i <= *last; ++i) take(i);
  }
  return out;
}

}  // namespace expunge::sweep
