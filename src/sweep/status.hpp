// What an output folder holds of a plan: by the presence of stores and failure records, without opening them.
#pragma once

#include <string>
#include <vector>

#include "sweep/sweep.hpp"

namespace expunge::sweep {

enum class State { kMissing, kDone, kFailed };
const char* state_name(State state);  // "missing", "done", "failed"

struct Status {
  std::vector<State> originals, cells;   // in the plan's order
  std::size_t count(State state) const;  // of cells
};

// A store counts as done, whatever an older failure record says. A folder that does not exist is all missing.
Status read_status(const Plan& plan, const Layout& layout);

}  // namespace expunge::sweep
