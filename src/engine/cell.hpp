// One node of a sweep's graph, from start to record: an original is trained, or a cell is unlearned, then
// evaluated. All calls are collective over `comm`, the ranks of the node.
#pragma once

#include "comm/communicator.hpp"
#include "engine/workbench.hpp"
#include "store/record.hpp"
#include "sweep/sweep.hpp"

namespace expunge {

// What a plan says about every cell of it.
struct SweepFacts {
  std::string name, sha256;
  std::vector<std::string> metrics, row_names;
};

// Trains f and, unless it is only a check, writes its folder (config.json, model.safetensors) and publishes
// its store. Throws Interrupted after a signal. The record is complete on rank 0.
store::Record train_original(Workbench& bench, comm::Communicator& comm, const sweep::Original& original,
                             const SweepFacts& sweep, bool publish = true);

// Unlearns and evaluates; publishes nothing. Throws Interrupted after a signal. The record is complete on
// rank 0.
store::Record compute_cell(Workbench& bench, comm::Communicator& comm, const sweep::Cell& cell,
                           const SweepFacts& sweep);

// The cell that a store was made from, with its settings and prices: what verify runs again.
sweep::Cell cell_of_record(const store::Record& record);
sweep::Original original_of_record(const store::Record& record);

// Removes both generations of a node's checkpoint.
void remove_checkpoints(const sweep::Layout& layout, const std::string& id);

}  // namespace expunge
