#include "comm/tree.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace expunge::comm {

void TreeFront::reset(std::int64_t leaves, std::int64_t first, std::int64_t last) {
  leaves_ = leaves, first_ = first, last_ = last;
  nodes_.clear();
}

int TreeFront::push(TreeNode node) {
  int additions = 0;
  while (true) {
    const std::int64_t width = std::int64_t{1} << node.level;
    if (width >= leaves_) break;  // the root
    const std::int64_t parent_first = node.index / 2 * (2 * width);
    const std::int64_t parent_last = std::min(parent_first + 2 * width, leaves_);
    if (parent_first < first_ || parent_last > last_) break;
    const bool is_right = node.index % 2 == 1;
    if (!is_right && parent_first + width < leaves_) break;  // waits for its right sibling
    if (is_right) {
      EXPUNGE_CHECK(
          !nodes_.empty() && nodes_.back().level == node.level && nodes_.back().index == node.index - 1,
          "tree node ({}, {}) has no left sibling", node.level, node.index);
      nodes_.pop_back();
      ++additions;
    }
    node = {node.level + 1, node.index / 2};
  }
  nodes_.push_back(node);
  return additions;
}

std::vector<TreeNode> maximal_nodes(std::int64_t leaves, std::int64_t first, std::int64_t last) {
  TreeFront front;
  front.reset(leaves, first, last);
  for (std::int64_t leaf = first; leaf < last; ++leaf) front.push({0, leaf});
  return front.nodes();
}

TreeFinish finish_run(std::int64_t leaves, std::int64_t first, std::int64_t last,
                      const std::vector<TreeNode>& nodes) {
  TreeFinish out;
  TreeFront front;
  front.reset(leaves, first, last);
  for (std::size_t position = 0; position < nodes.size(); ++position) {
    out.sums.push_back(position);
    for (int left = front.push(nodes[position]); left > 0; --left) {
      out.additions.emplace_back(out.sums[out.sums.size() - 2], out.sums.back());
      out.sums.pop_back();
    }
  }
  EXPUNGE_CHECK(first > 0 || last < leaves || out.sums.size() <= 1,
                "tree over {} leaves does not close: {} nodes left", leaves, out.sums.size());
  return out;
}

}  // namespace expunge::comm
