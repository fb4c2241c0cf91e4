// Efficiency against the number of ranks: what was measured, and what a model predicts. Pure.
#pragma once

#include <string>
#include <vector>

namespace expunge::board {

struct EfficiencySeries {
  std::string name;
  bool measured = false;  // points with error bars instead of a line
  struct Point {
    int ranks = 1;
    double efficiency = 0, half_width = 0;  // shares of 1; half_width 0: no bar
  };
  std::vector<Point> points;  // ranks ascending
};

// An <svg> element; ranks on a logarithmic axis. Empty when there are no points.
std::string efficiency_svg(const std::string& title, const std::vector<EfficiencySeries>& series);

}  // namespace expunge::board
