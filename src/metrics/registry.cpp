#include <algorithm>
#include <deque>

#include "core/error.hpp"
#include "core/text.hpp"
#include "metrics/metric.hpp"

namespace expunge::metrics {
namespace {

struct Registry {
  std::deque<Metric> owned;  // a deque keeps addresses when it grows
  std::vector<const Metric*> sorted;
};

// Filled during static initialisation, read-only afterwards.
Registry& registry() {
  static Registry all;
  return all;
}

}  // namespace

RegisterMetric::RegisterMetric(Metric metric) {
  Registry& all = registry();
  const auto at = std::lower_bound(all.sorted.begin(), all.sorted.end(), metric.name,
                                   [](const Metric* a, const std::string& name) { return a->name < name; });
  EXPUNGE_CHECK(at == all.sorted.end() || (*at)->name != metric.name, "metric {} is registered twice",
                metric.name);
  all.sorted.insert(at, &all.owned.emplace_back(std::move(metric)));
}

const std::vector<const Metric*>& metrics() { return registry().sorted; }

const Metric* find_metric(const std::string& name) {
  for (const Metric* metric : metrics())
    if (metric->name == name) return metric;
  return nullptr;
}

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const Metric* metric : metrics()) names.push_back(metric->name);
  return names;
}

const Outputs& Inputs::get(const std::string& name) const {
  const auto found = outputs.find(name);
  if (found != outputs.end()) return found->second;
  std::vector<std::string> have;
  for (const auto& [key, unused] : outputs) have.push_back(key);
  throw InternalError(fmt::format("a metric asked for the outputs \"{}\", which were not gathered (have: {})",
                                  name, join(have, ", ")));
}

}  // namespace expunge::metrics
