#include "cluster/packing.hpp"

#include <algorithm>
#include <limits>

namespace expunge::cluster {
namespace {

constexpr double kUsable = 0.8;  // of the time limit: estimates are estimates
constexpr double kGrowth = 1.1;

class Packer {
 public:
  Packer(const sweep::Plan& plan, const Site& site)
      : plan_(plan), site_(site), groups_(static_cast<std::size_t>(groups_of(plan, site))) {}

  std::vector<Task> pack(const std::vector<std::size_t>& cells, double target) const {
    std::vector<Task> out;
    double sum = 0, longest = 0;
    for (const auto cell : cells) {
      const double seconds = cell_seconds(plan_, cell, site_);
      const double with = std::max({longest, seconds, (sum + seconds) / static_cast<double>(groups_)});
      if (out.empty() || (out.back().cells.size() >= groups_ && with > target)) {
        out.emplace_back();
        sum = longest = 0;
      }
      sum += seconds;
      longest = std::max(longest, seconds);
      out.back().cells.push_back(cell);
      out.back().seconds = std::max(longest, sum / static_cast<double>(groups_));
    }
    return out;
  }

 private:
  const sweep::Plan& plan_;
  const Site& site_;
  std::size_t groups_;
};

double flops_of(const sweep::Cell& cell) {
  return (cell.budget_flops > 0 ? std::min(cell.flops, cell.budget_flops) : cell.flops) + cell.eval_flops;
}

}  // namespace

std::int64_t group_ranks(const sweep::Plan& plan, const Site& site) {
  const std::int64_t wish = site.ranks_per_cell > 0
                                ? site.ranks_per_cell
                                : sweep::default_ranks_per_cell(plan, static_cast<int>(site.ranks));
  return std::clamp<std::int64_t>(wish, 1, site.ranks);
}

std::int64_t groups_of(const sweep::Plan& plan, const Site& site) {
  const auto ranks = group_ranks(plan, site);
  return (site.ranks + ranks - 1) / ranks;
}

double cell_seconds(const sweep::Plan& plan, std::size_t cell, const Site& site) {
  return site.cell_seconds +
         flops_of(plan.cells[cell]) / (site.gflops * 1e9 * static_cast<double>(group_ranks(plan, site)));
}

double original_seconds(const sweep::Plan& plan, std::size_t original, const Site& site) {
  return site.cell_seconds +
         plan.originals[original].flops / (site.gflops * 1e9 * static_cast<double>(site.ranks));
}

Packing pack_cells(const sweep::Plan& plan, std::vector<std::size_t> cells, const Site& site,
                   std::size_t most_tasks) {
  std::stable_sort(cells.begin(), cells.end(),
                   [&](auto a, auto b) { return plan.cells[a].original < plan.cells[b].original; });
  const double usable = kUsable * static_cast<double>(site.time_limit - site.signal_before_end);
  const double ceiling = site.requeue ? std::numeric_limits<double>::infinity() : usable;
  double target = std::min(site.minutes * 60, usable);
  const Packer packer(plan, site);
  Packing out;
  out.tasks = packer.pack(cells, target);
  while (out.tasks.size() > most_tasks && target < ceiling) {
    target = std::min(target * kGrowth, ceiling);
    out.tasks = packer.pack(cells, target);
  }
  while (out.tasks.size() > most_tasks) {
    const auto& last = out.tasks.back().cells;
    out.left.insert(out.left.begin(), last.begin(), last.end());
    out.tasks.pop_back();
  }
  return out;
}

}  // namespace expunge::cluster
