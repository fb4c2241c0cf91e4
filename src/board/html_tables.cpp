#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "board/format.hpp"
#include "board/html_parts.hpp"
#include "board/svg.hpp"
#include "core/numbers.hpp"

namespace expunge::board {
namespace {

constexpr int kShades = 5;  // classes q0 (none) to q4

// Shade of a mean among those of its column in the group: 0 the worst, kShades - 1 the best.
class Shades {
 public:
  Shades(const Leaderboard& leaderboard, const Group& group, std::size_t column)
      : described_(leaderboard.columns[column]) {
    if (described_.better == 0 && !described_.gap) return;
    for (const auto& e : group.entries) {
      if (e.method == "retrain" || e.values[column].count == 0) continue;
      const double m = merit(described_, e.values[column].mean);
      low_ = std::min(low_, m);
      high_ = std::max(high_, m);
    }
  }
  int of(double mean) const {
    if (!(high_ > low_)) return 0;
    const double share = (merit(described_, mean) - low_) / (high_ - low_);
    return static_cast<int>(std::clamp(share * kShades, 0.0, kShades - 1.0));
  }

 private:
  const LeaderboardColumn& described_;
  double low_ = std::numeric_limits<double>::infinity(), high_ = -std::numeric_limits<double>::infinity();
};

// `usual`: cells of the entry that are averaged, where known; another count of values is said.
std::string number_cell(const LeaderboardColumn& column, const Estimate& value, bool best, int shade,
                        std::optional<std::size_t> usual) {
  if (value.count == 0) return "<td>-</td>";
  std::string classes = best ? "best" : "";
  if (shade > 0) classes += fmt::format("{}q{}", best ? " " : "", shade);
  const std::string half = shown_interval(column, value);
  // The script sorts by what is shown unless data-v says more.
  const bool as_shown = column.percent && !column.gap;
  std::string attributes = classes.empty() ? "" : " class=\"" + classes + "\"";
  if (!as_shown)
    attributes += fmt::format(" data-v=\"{:.6g}\"", column.gap ? std::abs(value.mean) : value.mean);
  if (value.bootstrap || (usual && std::cmp_not_equal(value.count, *usual)))
    attributes += fmt::format(" title=\"n={}{}\"", value.count, value.bootstrap ? ", BCa" : "");
  return fmt::format("<td{}>{}{}</td>", attributes, shown_mean(column, value),
                     half.empty() ? "" : " <small>" + half + "</small>");
}

// The columns with a value anywhere in the group.
std::vector<std::size_t> defined_columns(const Leaderboard& leaderboard, const Group& group) {
  std::vector<std::size_t> out;
  for (std::size_t c = 0; c < leaderboard.columns.size(); ++c)
    if (std::ranges::any_of(group.entries, [&](auto& entry) { return entry.values[c].count > 0; }))
      out.push_back(c);
  return out;
}

std::string heading(const LeaderboardColumn& column) {
  const bool percent = column.percent && !column.gap && column.title.find('%') == std::string::npos;
  return fmt::format("<th scope=\"col\" title=\"{}\"><button>{}{}</button></th>", html_text(column.help),
                     html_text(column.title), percent ? " %" : "");
}

// Without the numbers beside the dots where there are many.
std::string of_detail(std::string svg, const Detail& detail) {
  if (detail.all_columns) return svg;
  const std::string open = "<title>", close = "</title>";
  for (auto at = svg.find(open); at != std::string::npos; at = svg.find(open, at))
    svg.erase(at, svg.find(close, at) + close.size() - at);
  return svg;
}

std::string bounds_text(const stat::Bounds& b, const char* format) {
  return std::isnan(b.low)
             ? std::string("-")
             : fmt::format(fmt::runtime(format), b.low) + " to " + fmt::format(fmt::runtime(format), b.high);
}

std::string places_table(const Leaderboard& leaderboard, const Ranking& ranking) {
  const auto& column = leaderboard.columns[ranking.column];
  std::string out =
      "<div class=\"scroll\"><table class=\"sortable\"><thead><tr><th "
      "scope=\"col\"><button>method</button></th>"
      "<th scope=\"col\"><button>average rank</button></th><th scope=\"col\">95 %</th><th "
      "scope=\"col\">place, "
      "95 %</th>" +
      heading(column) +
      "<th scope=\"col\"><button>ties</button></th><th "
      "scope=\"col\"><button>cells</button></th></tr></thead><tbody>\n";
  for (const auto& p : ranking.places) {
    Estimate mean;
    mean.count = 1;
    mean.mean = p.mean;
    mean.half_width = kNan;
    out += fmt::format(
        "<tr data-method=\"{0}\"><td>{0}</td><td>{1:.2f}</td><td>{2}</td><td>{3}</td><td "
        "data-v=\"{4:.6g}\">{5}</td>"
        "<td class=\"text\">{6}</td><td{7} data-v=\"{8}\">{8}/{9}</td></tr>\n",
        html_text(p.method), p.rank, bounds_text(p.interval.rank, "{:.2f}"),
        bounds_text(p.interval.place, "{:.3g}"), p.mean, shown_mean(column, mean), p.ties,
        p.cells < ranking.planned ? " class=\"bad\"" : "", p.cells, ranking.planned);
  }
  return out + "</tbody></table></div>\n";
}

std::string matrix(const Leaderboard& leaderboard, const Ranking& ranking) {
  const auto& column = leaderboard.columns[ranking.column];
  const double scale = column.percent ? 100 : 1;
  std::string out =
      "<details><summary>wins / ties / losses of the row against the column, and adjusted p</summary><div "
      "class=\"scroll\"><table><thead><tr><th scope=\"col\"></th>";
  for (const auto& p : ranking.places) out += fmt::format("<th scope=\"col\">{}</th>", html_text(p.method));
  out += "</tr></thead><tbody>\n";
  for (std::size_t i = 0; i < ranking.places.size(); ++i) {
    out += fmt::format("<tr><td>{}</td>", html_text(ranking.places[i].method));
    for (std::size_t j = 0; j < ranking.places.size(); ++j) {
      if (i == j) {
        out += "<td></td>";
        continue;
      }
      const Pair& p = ranking.pair(i, j);
      const std::string tail =
          std::isnan(p.bounds.low)
              ? std::string()
              : fmt::format(", 95 % {:.3g} to {:.3g}", scale * p.bounds.low, scale * p.bounds.high);
      out += fmt::format("<td{} title=\"mean difference {:.3g}{}\">{}/{}/{} <small>p {}</small></td>",
                         p.holm < kAlpha ? " class=\"best\"" : "", scale * p.difference, tail, p.wins, p.ties,
                         p.losses, std::isnan(p.holm) ? std::string("-") : fmt::format("{:.2g}", p.holm));
    }
    out += "</tr>\n";
  }
  return out + "</tbody></table></div></details>\n";
}

}  // namespace

std::string html_rankings(const Leaderboard& leaderboard, const std::vector<Ranking>& rankings,
                          const MethodClasses& classes) {
  std::string out = "<section id=\"ranking\"><h2>Ranking</h2>\n";
  if (rankings.empty())
    return out + "<p>No column is defined for two methods: nothing to rank.</p></section>\n";
  for (const auto& r : rankings) {
    out += fmt::format("<details{}><summary>by {}</summary>\n", &r == rankings.data() ? " open" : "",
                       html_text(leaderboard.columns[r.column].title));
    if (r.problem.empty())
      out += places_table(leaderboard, r) + rank_svg(leaderboard, r, classes) + matrix(leaderboard, r);
    out += "<ul class=\"notes\">";
    for (const auto& note : ranking_notes(leaderboard, r)) out += "<li>" + html_text(note) + "</li>";
    out += "</ul></details>\n";
  }
  return out + "</section>\n";
}

std::string html_group(const Leaderboard& leaderboard, const Group& group, const MethodClasses& classes,
                       const Detail& detail, std::size_t& entry_number) {
  const auto columns = detail.all_columns ? defined_columns(leaderboard, group) : short_columns(leaderboard);
  std::vector<Shades> shades;
  for (const std::size_t c : columns) shades.emplace_back(leaderboard, group, c);
  std::string out = fmt::format(
      "<section class=\"group\" data-dataset=\"{}\" data-model=\"{}\" data-ratio=\"{:g}\"><h2>{}</h2>\n<div "
      "class=\"scroll\"><table class=\"sortable\"><thead><tr><th scope=\"col\"><button>method</button></th>",
      html_text(group.dataset), html_text(group.model), group.ratio, html_text(shown_group(group)));
  for (const std::size_t c : columns) out += heading(leaderboard.columns[c]);
  out += "<th scope=\"col\"><button>cells</button></th></tr></thead><tbody>\n";
  for (const auto& entry : group.entries) {
    const std::string name = html_text(entry.method);
    out += fmt::format(
        "<tr{} data-method=\"{}\"><td>{}</td>", entry.method == "retrain" ? " class=\"reference\"" : "", name,
        detail.cells ? fmt::format("<button data-e=\"{}\">{}</button>", entry_number++, name) : name);
    for (std::size_t i = 0; i < columns.size(); ++i)
      out += number_cell(leaderboard.columns[columns[i]], entry.values[columns[i]], entry.best[columns[i]],
                         entry.method == "retrain" ? 0 : shades[i].of(entry.values[columns[i]].mean),
                         group.over.empty() ? std::optional(entry.ok) : std::nullopt);
    out += fmt::format("<td class=\"text{}\" data-v=\"{}\">{}</td></tr>\n",
                       entry.ok < entry.cells.size() ? " bad" : "", entry.ok, html_text(shown_cells(entry)));
  }
  return out + "</tbody></table></div>\n<div class=\"plots\">" +
         (detail.trade_offs ? trade_off_svg(leaderboard, group, classes) : "") + "</div></section>\n";
}

std::string html_curves(const Leaderboard& leaderboard, const MethodClasses& classes, const Detail& detail) {
  std::string out;
  std::set<std::pair<std::string, std::string>> seen;
  for (const auto& group : leaderboard.groups) {
    if (!seen.insert({group.dataset, group.model}).second) continue;
    std::string plots;
    for (const char* name : {"test_accuracy", "forget_accuracy", "overall"})
      if (const auto column = column_at(leaderboard, name))
        plots += of_detail(ratio_svg(leaderboard, group.dataset, group.model, *column, classes, detail.dots),
                           detail);
    if (!plots.empty())
      out += fmt::format(
          "<div data-dataset=\"{}\" data-model=\"{}\"><h3>{} · {}</h3><div class=\"plots\">{}</div></div>\n",
          html_text(group.dataset), html_text(group.model), html_text(group.dataset), html_text(group.model),
          plots);
  }
  return out.empty() ? out
                     : "<section id=\"curves\"><h2>Capacity: accuracy against the deletion ratio</h2>\n" +
                           out + "</section>\n";
}

}  // namespace expunge::board
