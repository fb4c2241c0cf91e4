// The deletion requests of a cell.
#pragma once

#include <functional>

#include "engine/node.hpp"
#include "engine/requests.hpp"

namespace expunge {

// Collective. The method's program on each part of D_f in turn, and what each leaves behind: accuracies are
// complete on rank 0. `setup`: the cell's.
RequestsRun unlearn_in_requests(Node& node, const sweep::Cell& cell, Context::Setup setup,
                                const std::function<Outcome(Context&)>& program);

}  // namespace expunge
