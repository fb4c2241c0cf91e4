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

std::vector<std::pair<std::size_t, std::size_t>> finishing_additions(std::int64_t leaves,
                                                                     const std::vector<TreeNode>& nodes) {
  std::vector<std::pair<std::size_t, std::size_t>> additions;
  std::vector<std::size_t> held;  // position in `nodes` where each node of the front is summed
  TreeFront front;
  front.reset(leaves, 0, leaves);
  for (std::size_t position = 0; position < nodes.size(); ++position) {
    held.push_back(position);
    for (int left = front.push(nodes[position]); left > 0; --left) {
      additions.emplace_back(held[held.size() - 2], held.back());
      held.pop_back();
    }
  }
  EXPUNGE_CHECK(held.size() <= 1, "tree over {} leaves does not close: {} nodes left", leaves, held.size());
  return additions;
}

}  // namespace expunge::comm
