// The fixed binary tree of an ordered sum, as bookkeeping: which nodes a run of leaves completes, and in
// which order two finished nodes are added. No numbers here.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace expunge::comm {

// Node `index` of `level` covers leaves [index * 2^level, (index + 1) * 2^level), cut at the number of
// leaves.
struct TreeNode {
  int level;
  std::int64_t index;
};

// Nodes that are finished but whose parent is not, from left to right, while leaves or larger nodes of the
// run [first, last) of a tree over `leaves` leaves arrive in order.
class TreeFront {
 public:
  void reset(std::int64_t leaves, std::int64_t first, std::int64_t last);  // keeps its memory
  // Takes the next node. Returns how many times the two rightmost nodes were added, the right one into the
  // left one.
  int push(TreeNode node);
  const std::vector<TreeNode>& nodes() const { return nodes_; }

 private:
  std::int64_t leaves_ = 0, first_ = 0, last_ = 0;
  std::vector<TreeNode> nodes_;
};

// The maximal nodes inside [first, last), left to right: at most about 2 log2(last - first).
std::vector<TreeNode> maximal_nodes(std::int64_t leaves, std::int64_t first, std::int64_t last);

// How nodes that cover the run [first, last) from left to right are added up to the maximal nodes inside it.
struct TreeFinish {
  std::vector<std::pair<std::size_t, std::size_t>> additions;  // (into, from), positions in `nodes`
  std::vector<std::size_t> sums;  // where the maximal nodes end up, from left to right; the whole tree's: one
};
TreeFinish finish_run(std::int64_t leaves, std::int64_t first, std::int64_t last,
                      const std::vector<TreeNode>& nodes);

}  // namespace expunge::comm
