// Per-sample outputs of a model on a split: eval mode, fixed evaluation grains, gathered in id order. The
// ranks share the grains, so the outputs are the same bits on any number of ranks.
#pragma once

#include <functional>
#include <vector>

#include "comm/communicator.hpp"
#include "engine/setup.hpp"
#include "metrics/metric.hpp"

namespace expunge {

// Collective. What the task keeps of each sample (Task::summary), in float32. Complete on every rank's root
// (rank 0); empty on the others.
metrics::Outputs evaluate(models::Model& model, const tasks::Task& task, const SampleSource& samples,
                          const std::vector<std::int64_t>& ids, std::int64_t grain, comm::Communicator& comm,
                          const std::function<void()>& tick);

// The rows with these ids (ascending, all present).
metrics::Outputs select_rows(const metrics::Outputs& from, const std::vector<std::int64_t>& ids);

}  // namespace expunge
