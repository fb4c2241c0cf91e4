#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "board/plots.hpp"
#include "board/svg.hpp"

namespace expunge::board {
namespace {

constexpr Frame kCurveFrame{420, 250, 48, 92, 12, 42};

struct Dot {
  double ratio, mean, low, high;
};

// Letters, digits and -_. of a name; the rest becomes a dash.
std::string file_part(const std::string& text) {
  std::string out;
  for (const char c : text)
    out += std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' ? c : '-';
  return out;
}

// Labels at the right end of the lines, pushed apart so that they do not overlap.
std::string end_labels(std::vector<std::pair<double, std::string>> labels, const MethodClasses& classes) {
  std::stable_sort(labels.begin(), labels.end());
  std::string out;
  double free = -1e9;
  for (const auto& [wish, method] : labels) {
    const double y = std::max(wish, free);
    out += fmt::format(R"(<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>)", classes.at(method),
                       kCurveFrame.width - kCurveFrame.right + 6, y + 4, html_text(method));
    free = y + 11;
  }
  return out;
}

}  // namespace

MethodClasses method_classes(const Leaderboard& leaderboard) {
  std::set<std::string> methods;
  for (const auto& group : leaderboard.groups)
    for (const auto& entry : group.entries) methods.insert(entry.method);
  MethodClasses out;
  std::size_t n = 0;
  for (const auto& method : methods) out[method] = method == "retrain" ? "ref" : series_class(n++);
  return out;
}

std::string ratio_svg(const Leaderboard& leaderboard, const std::string& dataset, const std::string& model,
                      std::size_t column, const MethodClasses& classes, bool with_dots) {
  std::map<std::string, std::vector<Dot>> lines;
  std::set<double> ratios;
  double least = std::numeric_limits<double>::infinity(), most = -least;
  const auto& described = leaderboard.columns[column];
  const double scale = described.percent ? 100 : 1;
  for (const auto& group : leaderboard.groups) {
    if (group.dataset != dataset || group.model != model) continue;
    for (const auto& entry : group.entries) {
      const auto& v = entry.values[column];
      if (v.count == 0) continue;
      lines[entry.method].push_back(
          {100 * group.ratio, scale * v.mean, scale * v.bounds.low, scale * v.bounds.high});
      ratios.insert(group.ratio);
      least = std::min(least, scale * v.mean);
      most = std::max(most, scale * v.mean);
    }
  }
  if (ratios.size() < 2) return "";
  const Axis x(100 * *ratios.begin(), 100 * *ratios.rbegin(), 0.1, 0, 100);
  const Axis y = described.percent && !described.gap
                     ? Axis(least, most, 2, 0, 100)
                     : Axis(least, most, std::max(1e-9, std::abs(most) * 0.01));
  std::string out =
      svg_open(kCurveFrame.width, kCurveFrame.height,
               fmt::format("{} against the deletion ratio, {} {}", described.title, dataset, model)) +
      svg_axes(kCurveFrame, x, y, "deleted, % of the training set",
               described.title + (described.percent ? ", %" : ""));
  std::vector<std::pair<double, std::string>> labels;
  for (const auto& [method, dots] : lines) {
    std::string path, bars;
    for (const auto& d : dots) {
      const double px = kCurveFrame.x(x, d.ratio), py = kCurveFrame.y(y, d.mean);
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", px, py);
      if (!with_dots) continue;
      if (!std::isnan(d.low))
        bars += fmt::format("M{:.1f} {:.1f}V{:.1f}", px, kCurveFrame.y(y, std::clamp(d.low, y.low, y.high)),
                            kCurveFrame.y(y, std::clamp(d.high, y.low, y.high)));
      out += fmt::format(
          R"(<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="2.6"><title>{}, {:g} %: {:.4g}</title></circle>)",
          classes.at(method), px, py, html_text(method), d.ratio, d.mean);
    }
    if (!bars.empty()) out += fmt::format(R"(<path class="{}" d="{}"/>)", classes.at(method), bars);
    out += fmt::format(R"(<path class="line {}" d="{}"/>)", classes.at(method), path);
    labels.emplace_back(kCurveFrame.y(y, dots.back().mean), method);
  }
  return out + end_labels(std::move(labels), classes) + "</svg>";
}

std::vector<Picture> pictures(const Leaderboard& leaderboard, const std::vector<Ranking>& rankings) {
  const auto classes = method_classes(leaderboard);
  std::vector<Picture> out;
  const auto add = [&](const std::string& name, const std::string& svg) {
    if (!svg.empty()) out.push_back({file_part(name), svg});
  };
  for (const auto& r : rankings)
    add("rank-" + leaderboard.columns[r.column].name, rank_svg(leaderboard, r, classes));
  std::set<std::pair<std::string, std::string>> places;
  for (const auto& group : leaderboard.groups) {
    add(fmt::format("trade-off-{}-{}-{:g}", group.dataset, group.model, group.ratio),
        trade_off_svg(leaderboard, group, classes));
    places.insert({group.dataset, group.model});
  }
  for (const auto& [dataset, model] : places)
    for (const char* name : {"test_accuracy", "forget_accuracy"})
      if (const auto column = column_at(leaderboard, name))
        add(fmt::format("ratio-{}-{}-{}", dataset, model, name),
            ratio_svg(leaderboard, dataset, model, *column, classes));
  return out;
}

}  // namespace expunge::board
