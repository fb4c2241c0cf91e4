// Terminal tables and Markdown.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "board/format.hpp"
#include "board/render.hpp"
#include "core/text.hpp"

namespace expunge::board {
namespace {

using Table = std::vector<std::vector<std::string>>;

Table short_table(const Leaderboard& leaderboard, const Group& group) {
  Table table(1 + group.entries.size());
  table[0].push_back("method");
  for (std::size_t e = 0; e < group.entries.size(); ++e) table[1 + e].push_back(group.entries[e].method);
  for (std::size_t c : short_columns(leaderboard)) {
    const auto& column = leaderboard.columns[c];
    // Behind the mean its interval and mark, padded so that means line up.
    std::vector<std::string> tails;
    std::size_t widest = 0;
    for (const auto& entry : group.entries) {
      const std::string half = with_interval(column) ? shown_interval(column, entry.values[c]) : "";
      tails.push_back((half.empty() ? "" : " " + half) + (entry.best[c] ? "*" : ""));
      widest = std::max(widest, shown_width(tails.back()));
    }
    const bool percent = column.percent && !column.gap && column.title.find('%') == std::string::npos;
    table[0].push_back(padded(column.title + (percent ? " %" : ""), widest, false));
    for (std::size_t e = 0; e < group.entries.size(); ++e)
      table[1 + e].push_back(shown_mean(column, group.entries[e].values[c]) +
                             padded(tails[e], widest, false));
  }
  table[0].push_back("cells");
  for (std::size_t e = 0; e < group.entries.size(); ++e)
    table[1 + e].push_back(shown_cells(group.entries[e]));
  return table;
}

// The primary ranking, with its notes.
std::string ranking_text(const Leaderboard& leaderboard, const Ranking& ranking) {
  std::string out = "ranking by " + leaderboard.columns[ranking.column].title + "\n";
  if (ranking.problem.empty()) out += aligned(ranking_table(leaderboard, ranking));
  for (const auto& note : ranking_notes(leaderboard, ranking)) out += note + "\n";
  return out;
}

std::string markdown_row(const std::vector<std::string>& cells) { return "| " + join(cells, " | ") + " |\n"; }

std::string ranking_markdown(const Leaderboard& leaderboard, const Ranking& ranking) {
  std::string out = "\n## Ranking by " + leaderboard.columns[ranking.column].title + "\n\n";
  if (ranking.problem.empty()) {
    const Table table = ranking_table(leaderboard, ranking);
    out += markdown_row(table[0]) + "|---|---:|---:|---:|---:|---|---|\n";
    for (std::size_t i = 1; i < table.size(); ++i) out += markdown_row(table[i]);
    out += "\n";
  }
  for (const auto& note : ranking_notes(leaderboard, ranking)) out += note + "\n";
  return out;
}

}  // namespace

std::string render_text(const Leaderboard& leaderboard, const Rankings& rankings) {
  std::string out;
  for (const auto& group : leaderboard.groups)
    out += shown_group(group) + "\n" + aligned(short_table(leaderboard, group)) + "\n";
  if (!rankings.empty()) out += ranking_text(leaderboard, rankings.front()) + "\n";
  return out + kLegend + "\n" + leaderboard.board->sweep + ": " + shown_counts(*leaderboard.board) + "\n";
}

std::string render_markdown(const Leaderboard& leaderboard, const Rankings& rankings) {
  std::string out = fmt::format("# {}\n\n{}.\n", leaderboard.board->sweep, shown_counts(*leaderboard.board));
  const auto columns = short_columns(leaderboard);
  for (const auto& group : leaderboard.groups) {
    out += fmt::format("\n## {}\n\n| method |", shown_group(group));
    std::string rule = "|---|";
    for (std::size_t c : columns) {
      out += " " + leaderboard.columns[c].title + " |";
      rule += "---:|";
    }
    out += " cells |\n" + rule + "---|\n";
    for (const auto& entry : group.entries) {
      out += "| " + entry.method + " |";
      for (std::size_t c : columns) {
        const auto mean = shown_mean(leaderboard.columns[c], entry.values[c]),
                   half = shown_interval(leaderboard.columns[c], entry.values[c]);
        out +=
            fmt::format(" {}{} |", entry.best[c] ? "**" + mean + "**" : mean, half.empty() ? "" : " " + half);
      }
      out += " " + shown_cells(entry) + " |\n";
    }
  }
  for (const auto& ranking : rankings) out += ranking_markdown(leaderboard, ranking);
  return out + "\nBest of a column in bold, retrain aside; accuracies and shares in percent. " +
         "± is half of the 95 % t interval over seeds. Δ is the difference from retrain of the same seed, in "
         "percentage points.\n";
}

}  // namespace expunge::board
