#include "board/trade_off.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "board/format.hpp"

namespace expunge::board {
namespace {

constexpr double kWidth = 560, kHeight = 340, kLeft = 52, kRight = 96, kTop = 14, kBottom = 44;

struct Point {
  const Entry* entry;
  double forget, test, flops;
};

std::optional<std::size_t> column_at(const Leaderboard& leaderboard, const std::string& name) {
  for (std::size_t c = 0; c < leaderboard.columns.size(); ++c)
    if (leaderboard.columns[c].name == name) return c;
  return std::nullopt;
}

std::vector<Point> points_of(const Leaderboard& leaderboard, const Group& group) {
  const auto forget = column_at(leaderboard, "forget_accuracy"),
             test = column_at(leaderboard, "test_accuracy"), flops = column_at(leaderboard, "unlearn_flops");
  std::vector<Point> out;
  if (!forget || !test) return out;
  for (const auto& entry : group.entries)
    if (entry.values[*forget].count > 0 && entry.values[*test].count > 0)
      out.push_back({&entry, 100 * entry.values[*forget].mean, 100 * entry.values[*test].mean,
                     flops && entry.values[*flops].count > 0 ? entry.values[*flops].mean : 0});
  return out;
}

// A range with a margin, its ticks at round numbers.
struct Axis {
  double low, high, step;
  Axis(const std::vector<Point>& points, double Point::*value) {
    const auto [a, b] = std::minmax_element(points.begin(), points.end(),
                                            [&](auto& p, auto& q) { return p.*value < q.*value; });
    const double span = std::max(2.0, (*b).*value - (*a).*value);
    const double middle = ((*a).*value + (*b).*value) / 2;
    const double raw = span / 4, power = std::pow(10, std::floor(std::log10(raw)));
    step = power * (raw / power < 2 ? 2 : raw / power < 5 ? 5 : 10);
    low = std::max(0.0, std::floor((middle - 0.6 * span) / step) * step);
    high = std::min(100.0, std::ceil((middle + 0.6 * span) / step) * step);
  }
  double share(double v) const { return (v - low) / (high - low); }
};

double across(const Axis& axis, double v) { return kLeft + axis.share(v) * (kWidth - kLeft - kRight); }
double up(const Axis& axis, double v) {
  return kHeight - kBottom - axis.share(v) * (kHeight - kTop - kBottom);
}

std::string grid(const Axis& x, const Axis& y) {
  std::string out;
  for (double v = x.low; v <= x.high + x.step / 2; v += x.step)
    out += fmt::format(
        R"(<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/><text class="tick" x="{0:.1f}" y="{3:.1f}" text-anchor="middle">{4:g}</text>)",
        across(x, v), kTop, kHeight - kBottom, kHeight - kBottom + 16, v);
  for (double v = y.low; v <= y.high + y.step / 2; v += y.step)
    out += fmt::format(
        R"(<line class="grid" x1="{1:.1f}" x2="{2:.1f}" y1="{0:.1f}" y2="{0:.1f}"/><text class="tick" x="{3:.1f}" y="{4:.1f}" text-anchor="end">{5:g}</text>)",
        up(y, v), kLeft, kWidth - kRight, kLeft - 7, up(y, v) + 4, v);
  out += fmt::format(
      R"(<text class="axis" x="{:.1f}" y="{:.1f}" text-anchor="middle">accuracy on D_f, %</text>)",
      (kLeft + kWidth - kRight) / 2, kHeight - 8);
  out += fmt::format(
      R"svg(<text class="axis" transform="translate(13 {:.1f}) rotate(-90)" text-anchor="middle">accuracy on D_test, %</text>)svg",
      (kTop + kHeight - kBottom) / 2);
  return out;
}

}  // namespace

std::string html_text(const std::string& text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string trade_off_svg(const Leaderboard& leaderboard, const Group& group) {
  auto points = points_of(leaderboard, group);
  if (points.size() < 2) return "";
  const Axis x(points, &Point::forget), y(points, &Point::test);
  double most = 0;
  for (const auto& p : points) most = std::max(most, p.flops);
  const auto radius = [&](const Point& p) { return most > 0 ? 4 + 12 * std::sqrt(p.flops / most) : 6; };
  // Large discs first, so that small ones stay visible.
  std::stable_sort(points.begin(), points.end(), [](auto& a, auto& b) { return a.flops > b.flops; });
  std::string out =
      fmt::format(
          R"(<svg viewBox="0 0 {} {}" role="img" aria-label="accuracy on D_f against accuracy on D_test, {}">)",
          kWidth, kHeight, html_text(shown_group(group))) +
      grid(x, y);
  for (const auto& p : points) {
    const std::string name = html_text(p.entry->method);
    out += fmt::format(
        R"(<g class="{}"><circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}"><title>{}: D_f {:.1f} %, D_test {:.1f} %, {:.3g} FLOP</title></circle>)",
        p.entry->method == "retrain" ? "point reference" : "point", across(x, p.forget), up(y, p.test),
        radius(p), name, p.forget, p.test, p.flops);
    out += fmt::format(R"(<text x="{:.1f}" y="{:.1f}">{}</text></g>)", across(x, p.forget) + radius(p) + 3,
                       up(y, p.test) + 4, name);
  }
  return out + "</svg>";
}

}  // namespace expunge::board
