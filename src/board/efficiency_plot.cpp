#include "board/efficiency_plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "board/svg.hpp"
#include "core/counted.hpp"

namespace expunge::board {
namespace {

constexpr Frame kFrame{640, 360, 52, 110, 30, 44};

// Doublings up to the most ranks, at most some nine of them with a label.
std::string rank_axis(int doublings) {
  const int every = doublings / 9 + 1;
  std::string out;
  for (int d = 0; d <= doublings; d += every) {
    const double x = kFrame.left + (kFrame.width - kFrame.left - kFrame.right) * d / doublings;
    out += fmt::format(
        R"(<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/><text class="tick" x="{0:.1f}" y="{3:.1f}" text-anchor="middle">{4}</text>)",
        x, kFrame.top, kFrame.height - kFrame.bottom, kFrame.height - kFrame.bottom + 15, 1 << d);
  }
  return out + fmt::format(R"(<text class="axis" x="{:.1f}" y="{:.1f}" text-anchor="middle">ranks</text>)",
                           (kFrame.left + kFrame.width - kFrame.right) / 2, kFrame.height - 7);
}

std::string efficiency_axis(const Axis& y) {
  std::string out;
  for (const double v : y.ticks())
    out += fmt::format(
        R"(<line class="grid" x1="{1:.1f}" x2="{2:.1f}" y1="{0:.1f}" y2="{0:.1f}"/><text class="tick" x="{3:.1f}" y="{4:.1f}" text-anchor="end">{5:.5g}</text>)",
        kFrame.y(y, v), kFrame.left, kFrame.width - kFrame.right, kFrame.left - 6, kFrame.y(y, v) + 4, v);
  return out +
         fmt::format(
             R"svg(<text class="axis" transform="translate(13 {:.1f}) rotate(-90)" text-anchor="middle">efficiency, %</text>)svg",
             (kFrame.top + kFrame.height - kFrame.bottom) / 2);
}

}  // namespace

std::string efficiency_svg(const std::string& title, const std::vector<EfficiencySeries>& series) {
  int most = 0;
  double highest = 100;
  for (const auto& s : series)
    for (const auto& p : s.points) {
      most = std::max(most, p.ranks);
      highest = std::max(highest, 100 * (p.efficiency + p.half_width));
    }
  if (most == 0) return "";
  const int doublings = std::max(1, static_cast<int>(std::ceil(std::log2(most))));
  const Axis y(0, highest, 100, 0, 1e9);
  const auto across = [&](int ranks) {
    return kFrame.left + (kFrame.width - kFrame.left - kFrame.right) * std::log2(ranks) / doublings;
  };
  std::string out = svg_open(kFrame.width, kFrame.height, title) + rank_axis(doublings) + efficiency_axis(y);
  out += fmt::format(R"(<text x="{:.1f}" y="18">{}</text>)", kFrame.left, html_text(title));
  for (std::size_t n = 0; n < series.size(); ++n) {
    const auto& s = series[n];
    const std::string style = series_class(n);
    if (s.points.empty()) continue;
    if (!s.measured) {
      out += fmt::format("<polyline class=\"line {}\" points=\"", style);
      for (const auto& p : s.points)
        out += fmt::format("{:.1f},{:.1f} ", across(p.ranks), kFrame.y(y, 100 * p.efficiency));
      out += fmt::format("\"><title>{}</title></polyline>", html_text(s.name));
    }
    for (const auto& p : s.points) {
      if (!s.measured) continue;
      const double x = across(p.ranks), v = 100 * p.efficiency, half = 100 * p.half_width;
      if (half > 0)
        out +=
            fmt::format(R"(<line class="whisker {0}" x1="{1:.1f}" x2="{1:.1f}" y1="{2:.1f}" y2="{3:.1f}"/>)",
                        style, x, kFrame.y(y, std::max(0.0, v - half)), kFrame.y(y, v + half));
      out += fmt::format(
          R"(<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4"><title>{}: {:.1f} %</title></circle>)", style,
          x, kFrame.y(y, v), counted(p.ranks, "rank"), v);
    }
    out += fmt::format(R"(<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>)", style,
                       kFrame.width - kFrame.right + 8, kFrame.top + 12 + 16 * static_cast<double>(n),
                       html_text(s.name));
  }
  return out + "</svg>";
}

}  // namespace expunge::board
