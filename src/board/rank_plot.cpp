#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "board/plots.hpp"
#include "board/svg.hpp"

namespace expunge::board {

std::string rank_svg(const Leaderboard& leaderboard, const Ranking& ranking, const MethodClasses& classes) {
  const std::size_t n = ranking.places.size();
  if (n < 2 || !ranking.problem.empty()) return "";
  constexpr double kRow = 22;
  std::size_t bars = 0;
  for (const auto& run : ranking.runs) bars += run.last > run.first;
  const Frame f{620, 44 + kRow * static_cast<double>(n), 130, 30 + 9 * static_cast<double>(bars), 8, 36};
  const Axis x(1, static_cast<double>(n), 1, 0.5, static_cast<double>(n) + 0.5);
  const auto row = [&](std::size_t i) { return f.top + kRow * (static_cast<double>(i) + 0.5); };
  const auto& title = leaderboard.columns[ranking.column].title;
  std::string label = fmt::format("average ranks by {} with 95 % intervals:", title);
  for (const auto& p : ranking.places) label += fmt::format(" {} {:.2f}", p.method, p.rank);
  std::string out = svg_open(f.width, f.height, label);
  for (const double v : x.ticks())
    out += fmt::format(
        R"(<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/><text class="tick" x="{0:.1f}" y="{3:.1f}" text-anchor="middle">{4:g}</text>)",
        f.x(x, v), f.top, f.height - f.bottom, f.height - f.bottom + 14, v);
  out += fmt::format(
      R"(<text class="axis" x="{:.1f}" y="{:.1f}" text-anchor="middle">average rank by {} (1 = best)</text>)",
      (f.left + f.width - f.right) / 2, f.height - 6, html_text(title));
  for (std::size_t i = 0; i < n; ++i) {
    const auto& p = ranking.places[i];
    const auto& color = classes.at(p.method);
    out += fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>)", f.left - 10, row(i) + 4,
                       html_text(p.method));
    if (!std::isnan(p.interval.rank.low))
      out += fmt::format(R"(<line class="whisker {}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>)",
                         color, f.x(x, p.interval.rank.low), f.x(x, p.interval.rank.high), row(i), row(i));
    out += fmt::format(
        R"(<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4.5"><title>{}: rank {:.2f}, 95 % {:.2f} to {:.2f}</title></circle>)",
        color, f.x(x, p.rank), row(i), html_text(p.method), p.rank, p.interval.rank.low,
        p.interval.rank.high);
  }
  double at = f.width - f.right + 14;
  for (const auto& run : ranking.runs) {
    if (run.last == run.first) continue;
    out += fmt::format(
        R"(<line class="bar" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"><title>no difference shown: {3} to {4}</title></line>)",
        at, row(run.first) - 6, row(run.last) + 6, html_text(ranking.places[run.first].method),
        html_text(ranking.places[run.last].method));
    at += 9;
  }
  return out + "</svg>";
}

}  // namespace expunge::board
