// Terminal tables, Markdown, CSV and JSON.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "board/format.hpp"
#include "board/render.hpp"
#include "core/text.hpp"

namespace expunge::board {
namespace {

using Table = std::vector<std::vector<std::string>>;

// Columns that a terminal fills: bytes of UTF-8 that begin a character.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, std::size_t to, bool right) {
  const std::string space(to - std::min(to, width(text)), ' ');
  return right ? space + text : text + space;
}

// The first column stands left, the others right.
std::string aligned(const Table& table) {
  std::vector<std::size_t> widths(table.front().size(), 0);
  for (const auto& row : table)
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width(row[c]));
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

// Intervals are worth their width for results, not for costs and differences.
bool with_interval(const LeaderboardColumn& column) {
  return !column.gap && column.percent && column.name != "percent_of_retrain";
}

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
      widest = std::max(widest, width(tails.back()));
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

std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

std::string csv_number(double value) { return std::isnan(value) ? "" : fmt::format("{}", value); }

nlohmann::json json_number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

nlohmann::json json_cell(const Board& board, const Row& row) {
  nlohmann::json values = nlohmann::json::object(), timing = nlohmann::json::object();
  for (std::size_t c = 0; c < board.row_names.size(); ++c)
    values[board.row_names[c]] = json_number(row.values[c]);
  for (std::size_t t = 0; t < board.timing_names.size(); ++t)
    timing[board.timing_names[t]] = json_number(row.timing[t]);
  return {{"id", row.cell.id},
          {"key", row.cell.key},
          {"seed", row.cell.seed},
          {"status", row.status},
          {"reason", row.reason},
          {"row", values},
          {"timing", timing},
          {"parameter_hash", row.parameter_hash},
          {"science_sha256", row.science_sha256},
          {"config_sha256", row.config_sha256}};
}

nlohmann::json json_entry(const Leaderboard& leaderboard, const Entry& entry) {
  nlohmann::json values = nlohmann::json::object(), cells = nlohmann::json::array();
  for (std::size_t c = 0; c < leaderboard.columns.size(); ++c) {
    const auto& v = entry.values[c];
    values[leaderboard.columns[c].name] = {{"n", v.count},
                                           {"mean", json_number(v.mean)},
                                           {"half_width_95", json_number(v.half_width)},
                                           {"best", static_cast<bool>(entry.best[c])}};
  }
  for (const Row* row : entry.cells) cells.push_back(json_cell(*leaderboard.board, *row));
  return {{"method", entry.method},
          {"planned", entry.cells.size()},
          {"ok", entry.ok},
          {"diverged", entry.diverged},
          {"budget", entry.budget},
          {"failed", entry.failed},
          {"missing", entry.missing},
          {"values", values},
          {"cells", cells}};
}

}  // namespace

std::string render_text(const Leaderboard& leaderboard) {
  std::string out;
  for (const auto& group : leaderboard.groups)
    out += shown_group(group) + "\n" + aligned(short_table(leaderboard, group)) + "\n";
  return out + kLegend + "\n" + leaderboard.board->sweep + ": " + shown_counts(*leaderboard.board) + "\n";
}

std::string render_markdown(const Leaderboard& leaderboard) {
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
  return out + "\nBest of a column in bold, retrain aside; accuracies and shares in percent. " +
         "± is half of the 95 % t interval over seeds. Δ is the difference from retrain of the same seed, in "
         "percentage points.\n";
}

std::string render_csv(const Leaderboard& leaderboard) {
  std::string out = "dataset,model,ratio,method,planned,ok,diverged,budget,failed,missing";
  for (const auto& c : leaderboard.columns)
    out += fmt::format(",{0},{0}_n,{0}_half_width_95", csv_text(c.name));
  out += "\n";
  for (const auto& g : leaderboard.groups) {
    for (const auto& e : g.entries) {
      out += fmt::format("{},{},{},{},{},{},{},{},{},{}", csv_text(g.dataset), csv_text(g.model), g.ratio,
                         csv_text(e.method), e.cells.size(), e.ok, e.diverged, e.budget, e.failed, e.missing);
      for (const auto& v : e.values)
        out += fmt::format(",{},{},{}", csv_number(v.mean), v.count, csv_number(v.half_width));
      out += "\n";
    }
  }
  return out;
}

std::string render_json(const Leaderboard& leaderboard) {
  const Board& board = *leaderboard.board;
  nlohmann::json columns = nlohmann::json::array(), groups = nlohmann::json::array();
  for (const auto& c : leaderboard.columns)
    columns.push_back({{"name", c.name},
                       {"title", c.title},
                       {"help", c.help},
                       {"better", c.better},
                       {"percent", c.percent},
                       {"gap", c.gap}});
  for (const auto& g : leaderboard.groups) {
    nlohmann::json entries = nlohmann::json::array();
    for (const auto& e : g.entries) entries.push_back(json_entry(leaderboard, e));
    groups.push_back({{"dataset", g.dataset}, {"model", g.model}, {"ratio", g.ratio}, {"methods", entries}});
  }
  nlohmann::json counts = {{"cells", board.rows.size()}, {"merged", board.merged()}};
  for (const char* status : {"ok", "diverged", "budget", "failed", "corrupt", "foreign", "missing"})
    counts[status] = board.count(status);
  return nlohmann::json{{"schema", 1},
                        {"kind", "leaderboard"},
                        {"sweep", board.sweep},
                        {"sweep_sha256", board.sweep_sha256},
                        {"science_sha256", science_sha256(board)},
                        {"counts", counts},
                        {"columns", columns},
                        {"groups", groups}}
             .dump(1, ' ', false, nlohmann::json::error_handler_t::replace) +
         "\n";
}

}  // namespace expunge::board
