#include "cluster/memory.hpp"

#include <fmt/format.h>

#include <cctype>
#include <charconv>

#include "core/error.hpp"
#include "core/text.hpp"

namespace expunge::cluster {

double parse_memory(const std::string& text) {
  if (text.empty()) return 0;
  const bool has_unit = std::isdigit(static_cast<unsigned char>(text.back())) == 0;
  const std::string units = "KMGT", digits = text.substr(0, text.size() - (has_unit ? 1 : 0));
  const auto unit = has_unit
                        ? units.find(static_cast<char>(std::toupper(static_cast<unsigned char>(text.back()))))
                        : units.find('M');
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (unit == std::string::npos || error != std::errc() || end != digits.data() + digits.size() || number < 0)
    throw ConfigError(fmt::format("\"{}\" is no amount of memory like 4G or 4096M", text));
  return static_cast<double>(number) * static_cast<double>(std::int64_t{1} << (10 * (unit + 1)));
}

double memory_of_rank(const Site& site) {
  return parse_memory(site.memory_per_cpu) * static_cast<double>(site.cpus_per_rank);
}

std::vector<std::string> memory_warnings(const sweep::Plan& plan, const Site& site) {
  const double limit = memory_of_rank(site);
  if (limit == 0) return {};
  const std::int64_t ranks = site.ranks_per_cell > 0
                                 ? site.ranks_per_cell
                                 : sweep::default_ranks_per_cell(plan, static_cast<int>(site.ranks));
  std::vector<std::string> out;
  for (const auto& group : plan.memory)
    if (const double needed = group.memory.total(ranks); needed > limit)
      out.push_back(
          fmt::format("{} on {}: a rank needs about {} ({}), the site gives it {} (slurm.memory_per_cpu x "
                      "slurm.cpus_per_rank)",
                      group.model, group.dataset, human_bytes(needed), group.run, human_bytes(limit)));
  return out;
}

}  // namespace expunge::cluster
