// [sweep]: the axes, `include` and `exclude` of a job, as a list of points. Names are checked here, options
// elsewhere.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "config/job.hpp"
#include "data/split.hpp"

namespace expunge::sweep {

// One cell before its settings are known.
struct Point {
  std::string dataset, model, method;
  data::Ratio ratio;
  std::int64_t seed = 0, original_seed = 0;
};

struct Axes {
  std::string name;
  std::vector<Point> points;       // last axis fastest, then `include`; each once
  bool several_originals = false;  // more than one seed of the original
  // Models that stand as { path = ..., head = ... } in [sweep], by the name they go by.
  std::map<std::string, nlohmann::json> models;
  // Where a value of an axis was written first, e.g. ("dataset", "cifar10").
  std::map<std::pair<std::string, std::string>, config::Position> written;
  config::Position where(const std::string& axis, const std::string& value) const;
};

Axes read_axes(const config::Job& job, config::Diagnostics& problems);

// Known to a reader, or given one by [dataset.NAME].
bool known_dataset(const config::Job& job, const std::string& name);
// Registered, or given a folder by [model.NAME] path.
bool known_model(const config::Job& job, const std::string& name);

}  // namespace expunge::sweep
