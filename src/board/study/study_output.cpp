// Tables and plots of a study as text, CSV and SVG.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "board/format.hpp"
#include "board/study/study.hpp"
#include "board/svg.hpp"
#include "core/numbers.hpp"

namespace expunge::board {
namespace {

constexpr std::size_t kChartWidth = 64, kChartHeight = 16;

// As `aligned`, set in, and the last column stands right, too: a study's tables end with numbers.
std::string set_in(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (c >= widths.size()) widths.push_back(0);
      widths[c] = std::max(widths[c], shown_width(row[c]));
    }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) line += "  " + padded(row[c], widths[c], c > 0);
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

struct Range {
  double low = kInfinity, high = -low;
  void add(double v) {
    if (!std::isfinite(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  bool empty() const { return !(high >= low); }
  double share(double v) const { return high > low ? (v - low) / (high - low) : 0.5; }
};

void ranges_of(const StudyPlot& plot, Range& x, Range& y) {
  for (const auto& s : plot.series)
    for (std::size_t i = 0; i < s.x.size(); ++i)
      if (std::isfinite(s.x[i]) && std::isfinite(s.y[i])) {
        x.add(s.x[i]);
        y.add(s.y[i]);
      }
}

// A letter a series; '*' where several meet.
std::string chart(const StudyPlot& plot) {
  Range x, y;
  ranges_of(plot, x, y);
  if (x.empty()) return "";
  std::vector<std::string> grid(kChartHeight, std::string(kChartWidth, ' '));
  std::string legend;
  for (std::size_t s = 0; s < plot.series.size(); ++s) {
    const char letter = static_cast<char>(s < 26 ? 'a' + s : 'A' + (s - 26) % 26);
    legend += fmt::format("  {} {}", letter, plot.series[s].name);
    for (std::size_t i = 0; i < plot.series[s].x.size(); ++i) {
      if (!std::isfinite(plot.series[s].x[i]) || !std::isfinite(plot.series[s].y[i])) continue;
      const auto column =
          static_cast<std::size_t>(std::lround(x.share(plot.series[s].x[i]) * (kChartWidth - 1)));
      const auto row =
          kChartHeight - 1 -
          static_cast<std::size_t>(std::lround(y.share(plot.series[s].y[i]) * (kChartHeight - 1)));
      char& at = grid[row][column];
      at = at == ' ' || at == letter ? letter : '*';
    }
  }
  std::string out = "  " + plot.title + "\n";
  for (std::size_t r = 0; r < kChartHeight; ++r) {
    const std::string mark = r == 0                  ? fmt::format("{:.4g}", y.high)
                             : r == kChartHeight - 1 ? fmt::format("{:.4g}", y.low)
                                                     : std::string();
    out += fmt::format("  {:>8} |{}\n", mark, grid[r].substr(0, grid[r].find_last_not_of(' ') + 1));
  }
  out += fmt::format("  {:>8} +{}\n", "", std::string(kChartWidth, '-'));
  out += fmt::format("  {:>8}  {:<{}}{:.4g}\n", "", fmt::format("{:.4g}", x.low), kChartWidth - 6, x.high);
  return out + fmt::format("  across: {}; up: {};{}\n", plot.x_title, plot.y_title, legend);
}

}  // namespace

std::string study_text(const StudyReport& report) {
  std::string out;
  for (const auto& table : report.tables) out += table.title + "\n" + set_in(table.rows) + "\n";
  for (const auto& plot : report.plots)
    if (const auto drawn = chart(plot); !drawn.empty()) out += drawn + "\n";
  for (const auto& note : report.notes) out += note + "\n";
  return out;
}

std::string study_csv(const StudyReport& report) {
  std::string out;
  for (const auto& table : report.tables) {
    out += "# " + table.title + "\n";
    for (const auto& row : table.rows) {
      for (std::size_t c = 0; c < row.size(); ++c) {
        if (c > 0) out += ',';
        out += csv_field(row[c]);
      }
      out += "\n";
    }
  }
  return out;
}

std::string study_svg(const StudyPlot& plot) {
  Range rx, ry;
  ranges_of(plot, rx, ry);
  if (rx.empty()) return "";
  const Frame f{560, 340, 56, 130, 24, 44};
  const Axis x(rx.low, rx.high, std::max(1e-9, std::abs(rx.high) * 1e-3)),
      y(ry.low, ry.high, std::max(1e-9, std::abs(ry.high) * 1e-3));
  std::string out = svg_open(f.width, f.height, plot.title) + svg_axes(f, x, y, plot.x_title, plot.y_title) +
                    fmt::format(R"(<text x="{}" y="15">{}</text>)", f.left, html_text(plot.title));
  double label = f.top + 8;
  for (std::size_t s = 0; s < plot.series.size(); ++s) {
    const auto& series = plot.series[s];
    const std::string color = series_class(s);
    std::string path;
    for (std::size_t i = 0; i < series.x.size(); ++i) {
      if (!std::isfinite(series.x[i]) || !std::isfinite(series.y[i])) continue;
      const double px = f.x(x, series.x[i]), py = f.y(y, series.y[i]);
      out += fmt::format(
          R"(<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}: {:.4g}, {:.4g}</title></circle>)",
          color, px, py, html_text(series.name), series.x[i], series.y[i]);
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", px, py);
    }
    if (series.joined && !path.empty()) out += fmt::format(R"(<path class="line {}" d="{}"/>)", color, path);
    out += fmt::format(R"(<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>)", color, f.width - f.right + 8,
                       label, html_text(series.name));
    label += 13;
  }
  return out + "</svg>";
}

}  // namespace expunge::board
