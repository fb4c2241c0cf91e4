// Why a node has no store: from what its task left behind, and from what the scheduler says of its end.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cluster/state.hpp"

namespace expunge::cluster {

// Judges a node that is missing or failed and no longer in the queue: state, reason and job. The scheduler's
// word on time limits goes first, then the node's own record, the task's, the scheduler's, a claim.
void explain_end(const sweep::Layout& layout, const std::string& id, const Place& place,
                 const std::map<Element, JobEnd>& ends, NodeState& node);

// "12_3": as the scheduler writes it.
std::string element_name(const Chunk& chunk, std::size_t task);

// An empty object where the file holds none.
std::optional<nlohmann::json> read_json(const std::filesystem::path& path);

}  // namespace expunge::cluster
