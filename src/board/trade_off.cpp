#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "board/format.hpp"
#include "board/plots.hpp"
#include "board/svg.hpp"

namespace expunge::board {
namespace {

constexpr Frame kFrame{560, 340, 52, 96, 14, 44};

struct Point {
  const Entry* entry;
  double forget, test, flops;
};

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

Axis axis_of(const std::vector<Point>& points, double Point::*value) {
  const auto [a, b] = std::minmax_element(points.begin(), points.end(),
                                          [&](auto& p, auto& q) { return p.*value < q.*value; });
  return {(*a).*value, (*b).*value, 2, 0, 100};
}

// Methods that no other beats in both, by D_f. Distance of D_f: from retrain's, or from 0 without retrain.
std::vector<const Point*> pareto(const std::vector<Point>& points) {
  double target = 0;
  for (const auto& p : points)
    if (p.entry->method == "retrain") target = p.forget;
  const auto far = [&](const Point& p) { return std::abs(p.forget - target); };
  std::vector<const Point*> out;
  for (const auto& p : points) {
    if (p.entry->method == "retrain") continue;
    const bool beaten = std::ranges::any_of(points, [&](const Point& q) {
      return q.entry->method != "retrain" && q.test >= p.test && far(q) <= far(p) &&
             (q.test > p.test || far(q) < far(p));
    });
    if (!beaten) out.push_back(&p);
  }
  std::stable_sort(out.begin(), out.end(), [](auto* p, auto* q) { return p->forget < q->forget; });
  return out;
}

struct Label {
  double x, y;  // of the text's lower left corner
  std::string text;
};

// Moves labels down, from the top one on, until none lies on another.
void push_apart(std::vector<Label>& labels) {
  constexpr double kHeight = 12, kCharacter = 6.5;  // of the page's text, points
  const auto width = [](const Label& l) { return kCharacter * static_cast<double>(l.text.size()); };
  std::stable_sort(labels.begin(), labels.end(), [](auto& a, auto& b) { return a.y < b.y; });
  for (std::size_t i = 0; i < labels.size(); ++i)
    for (std::size_t before = 0; before < i; ++before) {
      const Label& other = labels[before];
      Label& label = labels[i];
      const bool beside = label.x < other.x + width(other) && other.x < label.x + width(label);
      if (!beside || std::abs(label.y - other.y) > kHeight - 0.5) continue;
      label.y = other.y + kHeight;
      before = static_cast<std::size_t>(-1);  // it may lie on another now
    }
}

}  // namespace

std::string trade_off_svg(const Leaderboard& leaderboard, const Group& group, const MethodClasses& classes) {
  auto points = points_of(leaderboard, group);
  if (points.size() < 2) return "";
  const Axis x = axis_of(points, &Point::forget), y = axis_of(points, &Point::test);
  double most = 0;
  for (const auto& p : points) most = std::max(most, p.flops);
  const auto radius = [&](const Point& p) { return most > 0 ? 4 + 12 * std::sqrt(p.flops / most) : 6; };
  // Large discs first, so that small ones stay visible.
  std::stable_sort(points.begin(), points.end(), [](auto& a, auto& b) { return a.flops > b.flops; });
  const auto front = pareto(points);
  std::string out = svg_open(kFrame.width, kFrame.height,
                             "accuracy on D_f against accuracy on D_test, " + shown_group(group)) +
                    svg_axes(kFrame, x, y, "accuracy on D_f, %", "accuracy on D_test, %");
  if (front.size() > 1) {
    out += "<polyline class=\"front\" points=\"";
    for (const auto* p : front)
      out += fmt::format("{:.1f},{:.1f} ", kFrame.x(x, p->forget), kFrame.y(y, p->test));
    out += "\"><title>Pareto front</title></polyline>";
  }
  std::vector<Label> labels;
  for (const auto& p : points) {
    const std::string name = html_text(p.entry->method);
    const double px = kFrame.x(x, p.forget), py = kFrame.y(y, p.test);
    out += fmt::format(
        R"(<g class="point"><circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"><title>{}: D_f {:.1f} %, D_test {:.1f} %, {:.3g} FLOP{}</title></circle></g>)",
        classes.at(p.entry->method), px, py, radius(p), name, p.forget, p.test, p.flops,
        std::ranges::find_if(front, [&](auto* q) { return q->entry == p.entry; }) != front.end()
            ? "; on the Pareto front"
            : "");
    labels.push_back({px + radius(p) + 3, py + 4, p.entry->method});
  }
  push_apart(labels);
  for (const auto& label : labels)
    out += fmt::format(R"(<text x="{:.1f}" y="{:.1f}">{}</text>)", label.x, label.y, html_text(label.text));
  return out + "</svg>";
}

}  // namespace expunge::board
