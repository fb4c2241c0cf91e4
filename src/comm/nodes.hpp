// Which ranks share a node: what a sum that adds inside nodes first has to know.
#pragma once

#include <vector>

namespace expunge::comm {

// `node_of[r]`: the number of rank r's node. Ranks of a node, where all nodes hold as many and each has
// consecutive ones; else 1.
int even_runs(const std::vector<int>& node_of);

// EXPUNGE_RANKS_PER_NODE: ranks 0..N-1 of the world count as one node, N..2N-1 as the next, whatever machines
// they run on (tests and measurements on one machine). 0 without it; ConfigError when it is no number > 0.
int declared_ranks_per_node();

}  // namespace expunge::comm
