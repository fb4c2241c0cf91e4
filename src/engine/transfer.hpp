// Zero-shot transfer: a cell's model on the test samples of other data sets.
#pragma once

#include "engine/node.hpp"

namespace expunge {

// Collective. Adds "transfer.NAME" and "original.transfer.NAME" for every data set of `sets` (the cell's
// setting evaluate.transfer), complete on rank 0. The original's are computed once for all cells of a
// process.
void add_transfer(Node& node, const nlohmann::json& sets, const OriginalModel& original,
                  const std::string& original_id, metrics::Inputs& inputs);

}  // namespace expunge
