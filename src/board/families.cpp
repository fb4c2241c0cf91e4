#include "board/families.hpp"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "board/format.hpp"
#include "core/text.hpp"

namespace expunge::board {
namespace {

// The mean of what is defined; NaN where nothing is.
Estimate mean_over(const std::vector<const Entry*>& entries, std::size_t column) {
  double sum = 0;
  int count = 0;
  for (const Entry* entry : entries)
    if (const double mean = entry->values[column].mean; std::isfinite(mean)) sum += mean, ++count;
  Estimate out{};
  out.count = count;
  out.mean = count > 0 ? sum / count : std::nan("");
  out.half_width = std::nan("");
  return out;
}

}  // namespace

std::string render_families(const Leaderboard& leaderboard, const std::string& title,
                            const std::function<std::string(const std::string& method)>& family_of) {
  std::string out;
  const auto columns = short_columns(leaderboard);
  for (const auto& group : leaderboard.groups) {
    std::map<std::string, std::vector<const Entry*>> families;
    for (const auto& entry : group.entries)
      if (const auto family = family_of(entry.method); !family.empty() && entry.method != "retrain")
        families[family].push_back(&entry);
    std::vector<std::vector<std::string>> table(1, {title});
    for (const std::size_t c : columns) {
      const auto& column = leaderboard.columns[c];
      const bool percent = column.percent && !column.gap && column.title.find('%') == std::string::npos;
      table[0].push_back(column.title + (percent ? " %" : ""));
    }
    table[0].push_back("methods");
    for (const auto& [family, entries] : families) {
      table.push_back({family});
      for (const std::size_t c : columns)
        table.back().push_back(shown_mean(leaderboard.columns[c], mean_over(entries, c)));
      std::vector<std::string> names;
      for (const Entry* entry : entries) names.push_back(entry->method);
      table.back().push_back(join(names, ", "));
    }
    out += shown_group(group) + "\n" + aligned(table) + "\n";
  }
  return out + "A family's value is the mean of its methods' means; retrain is left out.\n";
}

}  // namespace expunge::board
