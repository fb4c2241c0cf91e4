#include "cli/bench_selection.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/error.hpp"
#include "core/rng.hpp"
#include "core/text.hpp"
#include "stat/dependence.hpp"

namespace expunge::cli {

int bench_selection(std::int64_t units, std::int64_t perturbations, std::int64_t most) {
  constexpr double kMostBytes = 8.0 * (1 << 30);
  const Rng rng(1, "activations");
  const auto n = static_cast<std::size_t>(perturbations), width = static_cast<std::size_t>(units);
  std::vector<float> a(n * width);
  std::vector<double> loss(n);
  const std::size_t first = width / 3, second = width / 2;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < width; ++k) a[i * width + k] = static_cast<float>(rng.normal(i, k));
    loss[i] = 3 * static_cast<double>(a[i * width + first]) + static_cast<double>(a[i * width + second]);
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto chosen = stat::select_by_dependence(loss, {a.data(), perturbations, units}, most);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const double bytes = static_cast<double>(usage.ru_maxrss) * 1024;
  const bool right = !chosen.empty() && chosen[0] == static_cast<std::int64_t>(first);
  fmt::print("{} of {} units by {} perturbations: {:.1f} s, {} at its peak{}\n", chosen.size(), units,
             perturbations, seconds, human_bytes(bytes), right ? "" : "; the choice is wrong");
  return right && bytes <= kMostBytes ? kExitOk : kExitNotAsAsked;
}

}  // namespace expunge::cli
