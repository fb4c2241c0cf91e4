// One self-contained page: sortable tables, a trade-off picture a group, and behind each group the provenance
// of its cells.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "board/format.hpp"
#include "board/page.hpp"
#include "board/render.hpp"
#include "board/trade_off.hpp"
#include "core/build_info.hpp"

namespace expunge::board {
namespace {

// Settings are shown up to this much text in one page; beyond it their hashes must do.
constexpr std::size_t kMostSettings = 4 << 20;

std::string number_cell(const LeaderboardColumn& column, const stat::Interval& value, bool best) {
  const std::string half = shown_interval(column, value);
  return fmt::format("<td{} data-value=\"{}\" title=\"n = {}\">{}{}</td>", best ? " class=\"best\"" : "",
                     value.count > 0 ? fmt::format("{}", column.gap ? std::abs(value.mean) : value.mean) : "",
                     value.count, shown_mean(column, value),
                     half.empty() ? "" : " <small>" + half + "</small>");
}

// The columns with a value anywhere in the group.
std::vector<std::size_t> defined_columns(const Leaderboard& leaderboard, const Group& group) {
  std::vector<std::size_t> out;
  for (std::size_t c = 0; c < leaderboard.columns.size(); ++c)
    for (const auto& entry : group.entries)
      if (entry.values[c].count > 0) {
        out.push_back(c);
        break;
      }
  return out;
}

std::string main_table(const Leaderboard& leaderboard, const Group& group) {
  const auto columns = defined_columns(leaderboard, group);
  std::string out =
      "<div class=\"scroll\"><table class=\"sortable\"><thead><tr><th><button>method</button></th>";
  for (std::size_t c : columns) {
    const auto& column = leaderboard.columns[c];
    const bool percent = column.percent && !column.gap && column.title.find('%') == std::string::npos;
    out += fmt::format("<th title=\"{}\"><button>{}{}</button></th>", html_text(column.help),
                       html_text(column.title), percent ? " %" : "");
  }
  out += "<th><button>cells</button></th></tr></thead><tbody>\n";
  for (const auto& entry : group.entries) {
    out += fmt::format("<tr{}><td>{}</td>", entry.method == "retrain" ? " class=\"reference\"" : "",
                       html_text(entry.method));
    for (std::size_t c : columns) out += number_cell(leaderboard.columns[c], entry.values[c], entry.best[c]);
    out += fmt::format("<td class=\"text{}\" data-value=\"{}\">{}</td></tr>\n",
                       entry.ok < entry.cells.size() ? " bad" : "", entry.ok, html_text(shown_cells(entry)));
  }
  return out + "</tbody></table></div>\n";
}

std::string cell_rows(const Row& row, bool with_settings) {
  const auto hash = [](const std::string& text) {
    return text.empty() ? std::string("-") : fmt::format("<code title=\"{0}\">{0:.12}</code>", text);
  };
  std::string settings = hash(row.config_sha256);
  if (with_settings && !row.config_json.empty()) {
    const auto json = nlohmann::json::parse(row.config_json, nullptr, false);
    settings += "<details><summary>settings</summary><pre>" +
                html_text(json.is_discarded() ? row.config_json : json.dump(1)) + "</pre></details>";
  }
  return fmt::format(
      "<tr><td>{}</td><td data-value=\"{}\">{}</td><td "
      "class=\"text{}\">{}{}</td><td><code>{}</code></td><td>{}</td><td>{}</td>"
      "<td class=\"text\">{}</td></tr>\n",
      html_text(row.cell.method), row.cell.seed, row.cell.seed, row.status == "ok" ? "" : " bad",
      html_text(row.status), row.reason.empty() ? "" : ": " + html_text(row.reason), html_text(row.cell.id),
      hash(row.parameter_hash), hash(row.science_sha256), settings);
}

std::string provenance(const Group& group, bool with_settings) {
  std::string out =
      "<details><summary>cells, hashes and settings</summary><div class=\"scroll\"><table "
      "class=\"sortable\"><thead><tr>";
  for (const char* title : {"method", "seed", "status", "id", "parameters", "results", "settings"})
    out += fmt::format("<th><button>{}</button></th>", title);
  out += "</tr></thead><tbody>\n";
  for (const auto& entry : group.entries)
    for (const Row* row : entry.cells) out += cell_rows(*row, with_settings);
  return out + "</tbody></table></div></details>\n";
}

std::string glossary(const Leaderboard& leaderboard) {
  std::string out = "<h2>Columns</h2><dl>";
  std::set<std::string> seen;
  for (const auto& c : leaderboard.columns)
    if (!c.help.empty() && seen.insert(c.title).second)
      out += fmt::format("<dt>{}</dt><dd>{}{}</dd>", html_text(c.title), html_text(c.help),
                         c.better > 0   ? " (higher is better)"
                         : c.better < 0 ? " (lower is better)"
                                        : "");
  return out + "</dl>\n";
}

}  // namespace

std::string render_html(const Leaderboard& leaderboard) {
  const Board& board = *leaderboard.board;
  std::size_t settings = 0;
  for (const auto& row : board.rows) settings += row.config_json.size();
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">"
      "<title>{0}</title><style>{1}</style></head><body>\n<h1>{0}</h1><p>{2}</p>\n",
      html_text(board.sweep), kStyleSheet, html_text(shown_counts(board)));
  out +=
      "<p>Means with half of the 95 % t interval over seeds. Best of a column coloured, <i>retrain</i> "
      "aside. Δ: difference from retrain of the same "
      "seed, in percentage points. Hover a number for its count of seeds.</p>\n";
  for (const auto& group : leaderboard.groups) {
    out += "<section><h2>" + html_text(shown_group(group)) + "</h2>\n" + main_table(leaderboard, group);
    out += trade_off_svg(leaderboard, group) + provenance(group, settings <= kMostSettings) + "</section>\n";
  }
  out += glossary(leaderboard);
  out += fmt::format(
      "<p>sweep <code>{:.16}</code>, results <code>{:.16}</code>, made by "
      "{}</p>\n<script>{}</script></body></html>\n",
      board.sweep_sha256, science_sha256(board), html_text(build_info::one_line()), kScript);
  return out;
}

}  // namespace expunge::board
