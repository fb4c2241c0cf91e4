#include "board/efficiency_plot.hpp"

#include <gtest/gtest.h>

namespace expunge::board {
namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST(EfficiencyPlot, DrawsPointsBarsAndLines) {
  const std::vector<EfficiencySeries> series{
      {"measured", true, {{1, 1.0, 0}, {2, 0.9, 0.05}}},
      {"ring <x>", false, {{1, 1.0, 0}, {2, 0.95, 0}, {4096, 0.1, 0}}},
      {"empty", false, {}},
  };
  const auto svg = efficiency_svg("tiny & small", series);
  EXPECT_EQ(svg.rfind("<svg ", 0), 0u);
  EXPECT_EQ(count(svg, "<circle"), 2u);
  EXPECT_EQ(count(svg, "whisker"), 1u);
  EXPECT_EQ(count(svg, "<polyline"), 1u);
  EXPECT_NE(svg.find("tiny &amp; small"), std::string::npos);
  EXPECT_NE(svg.find("ring &lt;x&gt;"), std::string::npos);
  EXPECT_EQ(svg.find("empty"), std::string::npos);
  // Twelve doublings with a label at every second: 1, 4, ... 4096. One rank stands at the left edge (x = 52),
  // 4,096 at the right (640 - 110 = 530); 100 % of 0 .. 120 is at y = 316 - 286 / 1.2.
  EXPECT_NE(svg.find(">4096</text>"), std::string::npos);
  EXPECT_EQ(svg.find(">2048</text>"), std::string::npos);
  EXPECT_NE(svg.find("points=\"52.0,77.7 "), std::string::npos) << svg;
  EXPECT_NE(svg.find("530.0,"), std::string::npos);
}

TEST(EfficiencyPlot, NothingToShow) {
  EXPECT_EQ(efficiency_svg("t", {}), "");
  EXPECT_EQ(efficiency_svg("t", {{"a", false, {}}}), "");
  EXPECT_NE(efficiency_svg("t", {{"a", true, {{1, 1, 0}}}}), "");  // one rank alone
}

}  // namespace
}  // namespace expunge::board
