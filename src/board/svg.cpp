#include "board/svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace expunge::board {

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
        // Control characters are no part of XML.
        out += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return out;
}

Axis::Axis(double least, double most, double span) {
  span = std::max(span, most - least);
  const double middle = (least + most) / 2;
  const double raw = span / 4, power = std::pow(10, std::floor(std::log10(raw)));
  step = power * (raw / power < 1.5 ? 1 : raw / power < 3 ? 2 : raw / power < 7 ? 5 : 10);
  low = std::floor((middle - 0.55 * span) / step) * step;
  high = std::ceil((middle + 0.55 * span) / step) * step;
}

Axis::Axis(double least, double most, double span, double floor, double ceiling) : Axis(least, most, span) {
  low = std::max(low, floor);
  high = std::min(high, ceiling);
  if (!(high > low)) high = low + step;
}

std::vector<double> Axis::ticks() const {
  std::vector<double> out;
  for (int i = 0; i < 100 && low + i * step <= high + step * 1e-6; ++i) {
    const double v = low + i * step;
    out.push_back(std::abs(v) < step * 1e-9 ? 0 : v);
  }
  return out;
}

std::string svg_open(double width, double height, const std::string& label) {
  return fmt::format(R"(<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">)", width, height,
                     html_text(label));
}

std::string svg_axes(const Frame& f, const Axis& x, const Axis& y, const std::string& x_title,
                     const std::string& y_title) {
  std::string out;
  for (const double v : x.ticks())
    out += fmt::format(
        R"(<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/><text class="tick" x="{0:.1f}" y="{3:.1f}" text-anchor="middle">{4:.5g}</text>)",
        f.x(x, v), f.top, f.height - f.bottom, f.height - f.bottom + 15, v);
  for (const double v : y.ticks())
    out += fmt::format(
        R"(<line class="grid" x1="{1:.1f}" x2="{2:.1f}" y1="{0:.1f}" y2="{0:.1f}"/><text class="tick" x="{3:.1f}" y="{4:.1f}" text-anchor="end">{5:.5g}</text>)",
        f.y(y, v), f.left, f.width - f.right, f.left - 6, f.y(y, v) + 4, v);
  out += fmt::format(R"(<text class="axis" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>)",
                     (f.left + f.width - f.right) / 2, f.height - 7, html_text(x_title));
  out += fmt::format(
      R"svg(<text class="axis" transform="translate(13 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>)svg",
      (f.top + f.height - f.bottom) / 2, html_text(y_title));
  return out;
}

std::string series_class(std::size_t n) {
  return fmt::format("s{}{}", n % kSeries, (n / kSeries) % 2 ? " dash" : "");
}

const char* const kPictureStyle =
    "svg{background:#fff}text{font:11px "
    "system-ui,sans-serif;fill:#1d2330}.tick,.axis{fill:#5d6675}.axis{font-"
    "size:12px}.grid{stroke:#dfe2e6}.bar{stroke:#1d2330;stroke-width:4;stroke-linecap:round}.whisker{stroke-"
    "width:2}.line{fill:none;stroke-width:1.8}.dash{stroke-dasharray:5 "
    "3}.front{fill:none;stroke:#5d6675;stroke-"
    "dasharray:3 3}.point circle{fill-opacity:.55}.s0{stroke:#2f6fb5;fill:#2f6fb5}.s1{stroke:#c4572a;fill:"
    "#c4572a}.s2{stroke:#1f8a5b;fill:#1f8a5b}.s3{stroke:#8a4fa8;fill:#8a4fa8}.s4{stroke:#a67c00;fill:#a67c00}"
    ".s5{stroke:#0e8ca0;fill:#0e8ca0}.s6{stroke:#b8336a;fill:#b8336a}.s7{stroke:#5a6b1f;fill:#5a6b1f}.s8{"
    "stroke:"
    "#6b5b95;fill:#6b5b95}.s9{stroke:#7a5230;fill:#7a5230}.ref{stroke:#5d6675;fill:#5d6675}text.s0,text.s1,"
    "text.s2,text.s3,text.s4,text.s5,text.s6,text.s7,text.s8,text.s9,text.ref{stroke:none}.line.s0,.line.s1,."
    "line."
    "s2,.line.s3,.line.s4,.line.s5,.line.s6,.line.s7,.line.s8,.line.s9,.line.ref{fill:none}";

std::string standalone(const std::string& svg) {
  const auto end = svg.find('>');
  if (svg.rfind("<svg ", 0) != 0 || end == std::string::npos) return svg;
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" " +
         svg.substr(5, end - 4) + "<style>" + kPictureStyle + "</style>" + svg.substr(end + 1) + "\n";
}

}  // namespace expunge::board
