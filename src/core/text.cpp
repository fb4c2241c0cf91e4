#include "core/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace expunge {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        current[j] = std::min(current[j], before[j - 2] + 1);
    }
    before = previous;
    previous = current;
  }
  return previous[b.size()];
}

std::string did_you_mean(std::string_view wrong, const std::vector<std::string>& candidates,
                         std::size_t most) {
  std::string out;
  const std::string* best = nullptr;
  std::size_t best_distance = std::max<std::size_t>(1, std::min<std::size_t>(wrong.size() / 2, 4)) + 1;
  for (const auto& c : candidates)
    if (const auto d = edit_distance(wrong, c); d < best_distance) best_distance = d, best = &c;
  if (best) out += fmt::format("; did you mean \"{}\"?", *best);
  if (!candidates.empty()) {
    auto sorted = candidates;
    std::sort(sorted.begin(), sorted.end());
    const bool cut = sorted.size() > most;
    if (cut) sorted.resize(most);
    out += fmt::format("{} (have: {}{})", best ? "" : ";", join(sorted, ", "), cut ? ", ..." : "");
  }
  return out;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  while (true) {
    const auto end = text.find(separator, begin);
    out.emplace_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return out;
    begin = end + 1;
  }
}

namespace {
std::string scaled(double value, double base, const std::vector<const char*>& units) {
  std::size_t u = 0;
  while (std::fabs(value) >= base && u + 1 < units.size()) value /= base, ++u;
  return fmt::format("{:.{}f} {}", value, u == 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0, units[u]);
}
}  // namespace

std::string human_bytes(double bytes) {
  return scaled(bytes, 1024, {"B", "KiB", "MiB", "GiB", "TiB", "PiB"});
}

std::string human_flops(double flops) {
  return scaled(flops, 1000, {"FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"});
}

std::string human_seconds(double seconds) {
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 100) return fmt::format("{:.1f} s", seconds);
  const auto s = static_cast<long long>(std::llround(seconds));
  if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
  return fmt::format("{} h {:02} min", s / 3600, s % 3600 / 60);
}

}  // namespace expunge
