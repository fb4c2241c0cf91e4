#include "sweep/status.hpp"

#include <algorithm>
#include <filesystem>

namespace expunge::sweep {
namespace {

State state_of(const std::filesystem::path& store, const std::filesystem::path& failure) {
  std::error_code ignored;
  if (std::filesystem::exists(store, ignored)) return State::kDone;
  return std::filesystem::exists(failure, ignored) ? State::kFailed : State::kMissing;
}

}  // namespace

const char* state_name(State state) {
  return state == State::kDone ? "done" : state == State::kFailed ? "failed" : "missing";
}

std::size_t Status::count(State state) const {
  return static_cast<std::size_t>(std::count(cells.begin(), cells.end(), state));
}

Status read_status(const Plan& plan, const Layout& layout) {
  Status out;
  out.originals.assign(plan.originals.size(), State::kMissing);
  out.cells.assign(plan.cells.size(), State::kMissing);
  std::error_code ignored;
  if (!std::filesystem::exists(layout.root, ignored)) return out;
  for (std::size_t i = 0; i < plan.originals.size(); ++i)
    out.originals[i] =
        state_of(layout.original_store(plan.originals[i].id), layout.failure(plan.originals[i].id));
  for (std::size_t i = 0; i < plan.cells.size(); ++i)
    out.cells[i] = state_of(layout.cell_store(plan.cells[i].id), layout.failure(plan.cells[i].id));
  return out;
}

}  // namespace expunge::sweep
