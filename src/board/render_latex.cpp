// Tables for papers: one tabular a group and one a ranking, with rules of the package booktabs.
#include <fmt/format.h>

#include <cmath>

#include "board/format.hpp"
#include "board/render.hpp"
#include "core/text.hpp"

namespace expunge::board {
namespace {

// Text with LaTeX's special characters escaped and this program's signs spelt.
std::string tex(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto follows = [&](const char* sign) {
      return text.compare(i, std::char_traits<char>::length(sign), sign) == 0;
    };
    if (std::string("_%&#${}").find(c) != std::string::npos)
      out += std::string("\\") + c;
    else if (c == '\\')
      out += "\\textbackslash{}";
    else if (c == '~')
      out += "\\textasciitilde{}";
    else if (c == '^')
      out += "\\textasciicircum{}";
    else if (follows("±"))
      out += "$\\pm$", i += 1;
    else if (follows("Δ"))
      out += "$\\Delta$", i += 1;
    else if (follows("·"))
      out += "$\\cdot$", i += 1;
    else
      out += c;
  }
  return out;
}

std::string row(const std::vector<std::string>& cells) { return join(cells, " & ") + " \\\\\n"; }

// As wide as the text, however many columns.
std::string table(const std::string& caption, const std::string& columns, const std::string& body) {
  return "\\begin{table}[t]\n\\centering\n\\resizebox{\\linewidth}{!}{%\n\\begin{tabular}{" + columns +
         "}\n\\toprule\n" + body + "\\bottomrule\n\\end{tabular}}\n\\caption{" + caption +
         "}\n\\end{table}\n\n";
}

std::string group_table(const Leaderboard& leaderboard, const Group& group) {
  const auto columns = short_columns(leaderboard);
  std::vector<std::string> head = {"Method"};
  for (const std::size_t c : columns) {
    const auto& column = leaderboard.columns[c];
    head.push_back(tex(column.title) + (column.better > 0   ? " $\\uparrow$"
                                        : column.better < 0 ? " $\\downarrow$"
                                                            : ""));
  }
  head.push_back("Cells");
  std::string body = row(head) + "\\midrule\n";
  for (const auto& entry : group.entries) {
    std::vector<std::string> cells = {tex(entry.method)};
    for (const std::size_t c : columns) {
      const auto& column = leaderboard.columns[c];
      const std::string mean = tex(shown_mean(column, entry.values[c])),
                        half = with_interval(column) ? tex(shown_interval(column, entry.values[c])) : "";
      cells.push_back((entry.best[c] ? "\\textbf{" + mean + "}" : mean) +
                      (half.empty() ? "" : " {\\scriptsize " + half + "}"));
    }
    cells.push_back(tex(shown_cells(entry)));
    body += row(cells);
    if (entry.method == "retrain" && group.entries.size() > 1) body += "\\midrule\n";
  }
  return table(
      tex(shown_group(group)) +
          ". Mean over seeds with half of the 95\\,\\% interval; best of a column bold, retrain aside.",
      "l" + std::string(columns.size(), 'r') + "l", body);
}

std::string ranking_tabular(const Leaderboard& leaderboard, const Ranking& ranking) {
  std::string notes;
  for (const auto& note : ranking_notes(leaderboard, ranking)) notes += " " + tex(note);
  const std::string caption = "Ranking by " + tex(leaderboard.columns[ranking.column].title) + "." + notes;
  if (!ranking.problem.empty()) return "% " + caption + "\n\n";
  std::string body;
  const auto lines = ranking_table(leaderboard, ranking);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::vector<std::string> cells;
    for (const auto& cell : lines[i]) cells.push_back(tex(cell));
    body += row(cells) + (i == 0 ? "\\midrule\n" : "");
  }
  return table(caption, "lrrrrll", body);
}

}  // namespace

std::string render_latex(const Leaderboard& leaderboard, const Rankings& rankings) {
  std::string out = "% " + leaderboard.board->sweep + ": " + shown_counts(*leaderboard.board) +
                    "\n% needs \\usepackage{booktabs,graphicx}\n\n";
  for (const auto& group : leaderboard.groups) out += group_table(leaderboard, group);
  for (const auto& ranking : rankings) out += ranking_tabular(leaderboard, ranking);
  return out;
}

}  // namespace expunge::board
