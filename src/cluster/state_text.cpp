#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cluster/state.hpp"
#include "core/text.hpp"
#include "sweep/plan_json.hpp"

namespace expunge::cluster {
namespace {

constexpr std::size_t kMostLines = 20;
constexpr State kAll[] = {State::kDone,     State::kRunning, State::kQueued, State::kFailed,
                          State::kTimedOut, State::kCorrupt, State::kMissing};

std::string counts_text(const std::vector<NodeState>& nodes) {
  std::map<std::string, std::size_t> outcomes;
  std::map<State, std::size_t> states;
  for (const auto& node : nodes) {
    ++states[node.state];
    if (node.state == State::kDone) ++outcomes[node.outcome];
  }
  std::vector<std::string> parts;
  for (const auto state : kAll) {
    if (states[state] == 0) continue;
    std::string name = state_name(state);
    std::replace(name.begin(), name.end(), '_', ' ');
    parts.push_back(fmt::format("{} {}", states[state], name));
    if (state != State::kDone || (outcomes.size() == 1 && outcomes.count("ok"))) continue;
    std::vector<std::string> kinds;
    for (const auto& [outcome, count] : outcomes) kinds.push_back(fmt::format("{} {}", count, outcome));
    parts.back() += fmt::format(" ({})", join(kinds, ", "));
  }
  return parts.empty() ? "none" : join(parts, ", ");
}

// One line a reason, with the first cells that have it.
void add_reasons(const std::vector<NodeState>& nodes, const std::function<std::string(std::size_t)>& id_of,
                 State state, std::string& out) {
  std::map<std::string, std::vector<std::string>> by_reason;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    if (nodes[i].state == state) by_reason[nodes[i].reason].push_back(id_of(i));
  std::size_t lines = 0;
  for (const auto& [reason, ids] : by_reason) {
    if (++lines > kMostLines) {
      out +=
          fmt::format("{:<10} {} more reasons: --json\n", state_name(state), by_reason.size() - kMostLines);
      return;
    }
    constexpr std::size_t kMostIds = 3;
    const std::vector<std::string> first(
        ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), kMostIds)));
    out += fmt::format("{:<10} {}: {}{}\n", state_name(state), reason.empty() ? "no reason known" : reason,
                       join(first, ", "),
                       ids.size() > kMostIds ? fmt::format(" and {} more", ids.size() - kMostIds) : "");
  }
}

}  // namespace

std::string state_text(const sweep::Plan& plan, const sweep::Layout& layout, const SweepState& state) {
  std::string out = fmt::format("{} in {}\n", plan.name, layout.root.string());
  out += fmt::format("cells      {} of {}\n", counts_text(state.cells), plan.cells.size());
  out += fmt::format("originals  {} of {}\n", counts_text(state.originals), plan.originals.size());
  const auto cell_id = [&](std::size_t i) { return plan.cells[i].id; };
  const auto original_id = [&](std::size_t i) { return "original " + plan.originals[i].id; };
  for (const auto s : {State::kFailed, State::kTimedOut}) {
    add_reasons(state.originals, original_id, s, out);
    add_reasons(state.cells, cell_id, s, out);
  }
  for (const auto& job : state.jobs)
    out += fmt::format("job        {} {}.{}: {} running, {} pending{}\n", job.job, job.submission, job.chunk,
                       job.running, job.pending,
                       job.pending > 0 && job.reason != "None" ? fmt::format(" ({})", job.reason) : "");
  for (std::size_t i = 0; i < std::min(kMostLines, state.notes.size()); ++i)
    out += fmt::format("note       {}\n", state.notes[i]);
  if (state.notes.size() > kMostLines)
    out += fmt::format("note       {} more: --json\n", state.notes.size() - kMostLines);
  if (!state.changed.empty())
    out += fmt::format(
        "note       the job file was changed since submission {}: its cells have other ids, results are not "
        "mixed\n",
        join(state.changed, ", "));
  const std::size_t again =
      state.count(State::kFailed) + state.count(State::kTimedOut) + state.count(State::kCorrupt);
  if (state.seconds_left > 0) out += fmt::format("left       about {}\n", human_seconds(state.seconds_left));
  if (state.count(State::kDone) == plan.cells.size())
    out += fmt::format("complete   expunge reduce {}\n", layout.root.string());
  else if (again > 0)
    out += "next       expunge resubmit: sends what failed, timed out or is damaged\n";
  else if (state.count(State::kMissing) > 0)
    out += "next       expunge submit: sends what is missing\n";
  return out;
}

std::string state_json(const sweep::Plan& plan, const sweep::Layout& layout, const SweepState& state,
                       int indent) {
  const auto node_json = [](const std::string& id, const std::string& key, const NodeState& node) {
    nlohmann::json out{{"id", id}, {"key", key}, {"state", state_name(node.state)}};
    if (!node.outcome.empty()) out["outcome"] = node.outcome;
    if (!node.reason.empty()) out["reason"] = node.reason;
    if (!node.job.empty()) out["job"] = node.job;
    return out;
  };
  nlohmann::json out{{"sweep", plan.name}, {"folder", layout.root.string()}, {"plan_sha256", plan.sha256}};
  for (const auto s : kAll) out["counts"][state_name(s)] = state.count(s);
  out["originals"] = out["cells"] = out["jobs"] = nlohmann::json::array();
  for (std::size_t i = 0; i < plan.originals.size(); ++i)
    out["originals"].push_back(node_json(plan.originals[i].id, plan.originals[i].key, state.originals[i]));
  for (const auto& job : state.jobs)
    out["jobs"].push_back({{"job", job.job},
                           {"submission", job.submission},
                           {"chunk", job.chunk},
                           {"running", job.running},
                           {"pending", job.pending},
                           {"reason", job.reason}});
  out["notes"] = state.notes;
  out["changed_since"] = state.changed;
  out["seconds_left"] = state.seconds_left < 0 ? nlohmann::json(nullptr) : nlohmann::json(state.seconds_left);
  const auto cell = [&](std::size_t i) {
    return node_json(plan.cells[i].id, plan.cells[i].key, state.cells[i]);
  };
  return sweep::dump_with_cells(out, plan.cells.size(), cell, indent);
}

}  // namespace expunge::cluster
