#include "board/format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/text.hpp"

namespace expunge::board {
namespace {

bool is_flops(const LeaderboardColumn& column) { return column.name.find("flops") != std::string::npos; }

// 1234567 -> "1.23 M": three digits and a factor of a thousand.
std::string with_prefix(double value) {
  static const char* const kPrefixes[] = {"", " k", " M", " G", " T", " P", " E"};
  std::size_t p = 0;
  while (std::abs(value) >= 999.5 && p + 1 < std::size(kPrefixes)) {
    value /= 1000;
    ++p;
  }
  return fmt::format("{:.3g}{}", value, kPrefixes[p]);
}

}  // namespace

const char* const kLegend =
    "mean ± half width of the 95 % t interval over seeds (none for one seed); * best of a column, retrain "
    "aside; - not defined; "
    "Δ difference from retrain of the same seed in percentage points; cells: averaged of planned";

std::size_t shown_width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, std::size_t to, bool right) {
  const std::string space(to - std::min(to, shown_width(text)), ' ');
  return right ? space + text : text + space;
}

std::string aligned(const std::vector<std::vector<std::string>>& table) {
  std::vector<std::size_t> widths(table.front().size(), 0);
  for (const auto& row : table)
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], shown_width(row[c]));
  std::string out;
  for (const auto& row : table) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c)
      line += (c ? "  " : "") + padded(row[c], widths[c], c > 0 && c + 1 < row.size());
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string shown_mean(const LeaderboardColumn& column, const stat::Interval& value) {
  if (value.count == 0) return "-";
  if (is_flops(column)) return with_prefix(value.mean);
  if (column.gap) {
    const std::string text = fmt::format("{:+.1f}", 100 * value.mean);
    return text == "-0.0" || text == "+0.0" ? "0.0" : text;
  }
  if (column.percent) return fmt::format("{:.1f}", 100 * value.mean);
  if (column.name == "unlearn_seconds") return fmt::format("{:.1f}", value.mean);
  return fmt::format("{:.3f}", value.mean);
}

std::string shown_interval(const LeaderboardColumn& column, const stat::Interval& value) {
  if (std::isnan(value.half_width)) return "";
  if (is_flops(column)) return value.half_width == 0 ? "" : "±" + with_prefix(value.half_width);
  if (column.percent) return fmt::format("±{:.1f}", 100 * value.half_width);
  if (column.name == "unlearn_seconds") return fmt::format("±{:.1f}", value.half_width);
  return fmt::format("±{:.3f}", value.half_width);
}

bool with_interval(const LeaderboardColumn& column) {
  return !column.gap && column.percent && column.name != "percent_of_retrain";
}

std::string shown_cells(const Entry& entry) {
  std::vector<std::string> rest;
  for (const auto& [count, name] : {std::pair{entry.diverged, "diverged"},
                                    {entry.budget, "over budget"},
                                    {entry.failed, "failed"},
                                    {entry.missing, "missing"}})
    if (count > 0) rest.push_back(fmt::format("{} {}", count, name));
  if (entry.slower_than_retrain) rest.push_back("slower than retrain");
  return fmt::format("{}/{}{}", entry.ok, entry.cells.size(),
                     rest.empty() ? "" : " (" + join(rest, ", ") + ")");
}

std::string shown_group(const Group& group) {
  if (group.over.empty()) return fmt::format("{} · {} · ratio {:g}", group.dataset, group.model, group.ratio);
  std::string out;
  for (const auto* part : {&group.dataset, &group.model})
    if (!part->empty()) out += *part + " · ";
  return out + group.over;
}

std::string shown_counts(const Board& board) {
  std::string out = fmt::format("{} of {} cells", board.merged(), board.rows.size());
  for (const char* status : {"diverged", "budget", "failed", "corrupt", "foreign", "missing"})
    if (const auto n = board.count(status); n > 0) out += fmt::format("; {} {}", status, n);
  return out;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

std::vector<std::size_t> short_columns(const Leaderboard& leaderboard) {
  std::vector<std::size_t> out;
  for (std::size_t c = 0; c < leaderboard.columns.size(); ++c) {
    const auto defined = [c](const Entry& entry) { return entry.values[c].count > 0; };
    if (leaderboard.columns[c].narrow && std::ranges::any_of(leaderboard.groups, [&](auto& g) {
          return std::ranges::any_of(g.entries, defined);
        }))
      out.push_back(c);
  }
  return out;
}

}  // namespace expunge::board
