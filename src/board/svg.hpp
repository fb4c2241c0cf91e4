// Building blocks of the leaderboard's pictures. Colours come from classes: the page styles them for light
// and dark, standalone() adds a light style of its own.
#pragma once

#include <string>
#include <vector>

namespace expunge::board {

std::string html_text(const std::string& text);  // with <, >, &, " escaped

// A range with a margin whose ticks stand at round numbers. `span` is the least width shown.
struct Axis {
  Axis(double least, double most, double span);
  // The same clipped to [floor, ceiling].
  Axis(double least, double most, double span, double floor, double ceiling);
  double low, high, step;
  double share(double v) const { return (v - low) / (high - low); }
  std::vector<double> ticks() const;
};

// A plotting area inside a picture, with y upwards.
struct Frame {
  double width, height, left, right, top, bottom;
  double x(const Axis& axis, double v) const { return left + axis.share(v) * (width - left - right); }
  double y(const Axis& axis, double v) const {
    return height - bottom - axis.share(v) * (height - top - bottom);
  }
};

// <svg ...> with a role, a label for readers that cannot see, and a title.
std::string svg_open(double width, double height, const std::string& label);
// Grid lines, tick labels and titles of both axes.
std::string svg_axes(const Frame& frame, const Axis& x, const Axis& y, const std::string& x_title,
                     const std::string& y_title);

// Class of the n-th series: colours and dashes repeat after kSeries.
inline constexpr std::size_t kSeries = 10;
std::string series_class(std::size_t n);

// The picture as a file of its own.
std::string standalone(const std::string& svg);
// The style sheet that standalone() adds.
extern const char* const kPictureStyle;

}  // namespace expunge::board
