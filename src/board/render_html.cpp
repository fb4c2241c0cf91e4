// The HTML leaderboard: one self-contained page; rankings, curves, per group a table and a trade-off plot,
// and the provenance of its cells.
#include <fmt/format.h>

#include <set>

#include "board/format.hpp"
#include "board/html_parts.hpp"
#include "board/joined.hpp"
#include "board/page.hpp"
#include "board/render.hpp"
#include "board/svg.hpp"
#include "core/build_info.hpp"
#include "core/text.hpp"

namespace expunge::board {
namespace {

// Up to so many means every defined column is shown; beyond it the short ones, and CSV or JSON hold the rest.
constexpr std::size_t kMostMeans = 20000;
constexpr std::size_t kMostListed = 50;
// A browser should open the page of any board: up to so many cells they are listed, so many bytes go into
// tables (beyond it groups are joined) and into either kind of plot.
constexpr std::size_t kMostCells = 30000;
constexpr std::size_t kTableBytes = 4'000'000, kPlotBytes = 2'500'000;

Detail detail_of(const Leaderboard& leaderboard) {
  std::size_t entries = 0;
  std::set<std::pair<std::string, std::string>> places;
  for (const auto& group : leaderboard.groups) {
    entries += group.entries.size();
    places.insert({group.dataset, group.model});
  }
  constexpr std::size_t kCurves = 3, kFrame = 2500, kDisc = 300, kDot = 100, kStep = 15;  // bytes
  const std::size_t frames = kCurves * places.size() * kFrame;
  return {.all_columns = entries * leaderboard.columns.size() <= kMostMeans,
          .cells = leaderboard.board->rows.size() <= kMostCells,
          .trade_offs = leaderboard.groups.size() * kFrame + entries * kDisc <= kPlotBytes,
          .dots = frames + kCurves * entries * kDot <= kPlotBytes,
          .curves = frames + kCurves * entries * kStep <= kPlotBytes};
}

// What the page leaves out, and where it is.
std::string left_out(const Leaderboard& leaderboard, const Detail& detail, const std::string& joined_over) {
  std::vector<std::string> out;
  if (!joined_over.empty())
    out.push_back(
        fmt::format("its {} groups are joined over {}, a value being the mean of its groups' means "
                    "without an interval (each group: <code>--csv</code>)",
                    leaderboard.groups.size(), joined_over));
  if (!detail.cells)
    out.push_back("cells are not listed (<code>--json</code>; one of them: <code>expunge show</code>)");
  if (!detail.curves)
    out.push_back("curves against the ratio are left out (<code>--svg</code>)");
  else if (!detail.dots)
    out.push_back("curves are lines without dots and intervals (<code>--svg</code>)");
  if (!detail.trade_offs) out.push_back("groups have no plots (<code>--svg</code>)");
  if (out.empty())
    return detail.all_columns ? ""
                              : " This board is large: the short columns are shown, CSV and JSON hold all.";
  if (!detail.all_columns) out.insert(out.begin(), "the short columns are shown (all: <code>--csv</code>)");
  return " This board is large: " + join(out, "; ") + ".";
}

std::string select(const char* name, const std::set<std::string>& values) {
  std::string out = fmt::format(
      "<label for=\"filter-{0}\">{0} <select id=\"filter-{0}\"><option value=\"\">all</option>", name);
  for (const auto& value : values) out += fmt::format("<option value=\"{0}\">{0}</option>", html_text(value));
  return out + "</select></label>\n";
}

std::string filters(const Leaderboard& leaderboard) {
  std::set<std::string> datasets, models, ratios;
  for (const auto& group : leaderboard.groups) {
    datasets.insert(group.dataset);
    models.insert(group.model);
    if (group.over.empty()) ratios.insert(fmt::format("{:g}", group.ratio));
  }
  return "<div class=\"filters\" role=\"search\">" + select("dataset", datasets) + select("model", models) +
         select("ratio", ratios) +
         "<label for=\"filter-method\">methods <input id=\"filter-method\" type=\"search\" "
         "placeholder=\"scrub "
         "salun\"></label><span id=\"shown\" class=\"soft\" role=\"status\"></span></div>\n";
}

// Cells without a usable result, by name: nothing is left out silently.
std::string unusable(const Board& board) {
  std::vector<const Row*> rows;
  for (const auto& row : board.rows)
    if (row.status != "ok") rows.push_back(&row);
  if (rows.empty()) return "";
  std::string out = fmt::format(
      "<details><summary class=\"bad\">{} cells are in no mean</summary><ul class=\"notes\">", rows.size());
  for (std::size_t i = 0; i < std::min(rows.size(), kMostListed); ++i)
    out += fmt::format("<li>{}: {}{}</li>", html_text(rows[i]->cell.key), html_text(rows[i]->status),
                       rows[i]->reason.empty() ? "" : ": " + html_text(rows[i]->reason));
  if (rows.size() > kMostListed) out += fmt::format("<li>and {} more</li>", rows.size() - kMostListed);
  return out + "</ul></details>\n";
}

std::string glossary(const Leaderboard& leaderboard) {
  std::string out = "<section><h2>Columns</h2><dl>";
  std::set<std::string> seen;
  for (const auto& c : leaderboard.columns)
    if (!c.help.empty() && seen.insert(c.title).second)
      out += fmt::format("<dt>{}</dt><dd>{}{}</dd>", html_text(c.title), html_text(c.help),
                         c.better > 0   ? " (higher is better)"
                         : c.better < 0 ? " (lower is better)"
                                        : "");
  return out + "</dl></section>\n";
}

}  // namespace

std::string render_html(const Leaderboard& leaderboard, const std::vector<Ranking>& rankings) {
  const Board& board = *leaderboard.board;
  const auto classes = method_classes(leaderboard);
  const Detail detail = detail_of(leaderboard);
  const auto shown = joined_to_fit(leaderboard, short_columns(leaderboard).size(), kTableBytes);
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\"><link rel=\"icon\" href=\"data:,\">"
      "<title>{0}</title><style>{1}</style></head><body>\n<header><h1>{0}</h1><button id=\"theme\" "
      "class=\"plain\">light / dark</button></header>\n<p>{2}</p>\n",
      html_text(board.sweep), kStyleSheet, html_text(shown_counts(board)));
  out += unusable(board);
  if (!board.recomputed.empty())
    out += "<p>Recomputed from kept outputs: " + html_text(join(board.recomputed, ", ")) + ".</p>\n";
  out += fmt::format(
      "<p>Means over the cells with status ok; ± is half of the 95 % interval: Student's t below {} values, "
      "BCa "
      "bootstrap from there on, none for one value. Best of a column bold, shades from worst to best of the "
      "group, <i>retrain</i> aside. Δ: difference from retrain of the same seed, in percentage "
      "points.{}{}</p>\n",
      kBootstrapFrom, detail.cells ? " A method's name opens its cells." : "",
      left_out(leaderboard, detail, shown.over));
  out += filters(shown.leaderboard) + "<main>" + html_rankings(leaderboard, rankings, classes);
  if (detail.curves) out += html_curves(leaderboard, classes, detail);
  std::size_t entry = 0;
  for (const auto& group : shown.leaderboard.groups)
    out += html_group(shown.leaderboard, group, classes, detail, entry);
  out += glossary(leaderboard);
  out +=
      "<section><h2>Settings of most cells</h2><details><summary>show</summary><dl "
      "id=\"common-settings\"></dl></details></section></main>\n";
  out += fmt::format(
      "<footer><p>sweep <code>{:.16}</code>, results <code>{:.16}</code>, made by {}</p></footer>\n<dialog "
      "id=\"drawer\" aria-labelledby=\"drawer-title\"><header><h2 id=\"drawer-title\"></h2><button "
      "id=\"drawer-close\" class=\"plain\">close</button></header><div "
      "id=\"drawer-content\"></div></dialog>\n"
      "<script type=\"application/json\" id=\"data\">",
      board.sweep_sha256, science_sha256(board), html_text(build_info::one_line()));
  return out + html_data(leaderboard, detail.cells) + "</script>\n<script>" + kScript +
         "</script></body></html>\n";
}

}  // namespace expunge::board
