#include "data/tokenizers/byte_trie.hpp"

#include <algorithm>

namespace expunge::data {

ByteTrie::ByteTrie(std::vector<std::pair<std::string, std::int32_t>> entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  // A node and the sorted entries below it, in the order of the nodes: children of a node come one after the
  // other.
  struct Span {
    std::size_t begin, end, depth;
  };
  std::vector<Span> spans{{0, entries.size(), 0}};
  nodes_.emplace_back();
  labels_.push_back(0);
  for (std::size_t n = 0; n < spans.size(); ++n) {
    auto [at, end, depth] = spans[n];
    for (; at < end && entries[at].first.size() == depth; ++at)
      if (depth > 0) nodes_[n].value = entries[at].second;
    nodes_[n].first = static_cast<std::uint32_t>(nodes_.size());
    while (at < end) {
      const char label = entries[at].first[depth];
      const std::size_t begin = at;
      while (at < end && entries[at].first[depth] == label) ++at;
      spans.push_back({begin, at, depth + 1});
      nodes_.emplace_back();
      labels_.push_back(label);
      ++nodes_[n].count;
    }
  }
  for (std::uint32_t i = 0; i < nodes_[0].count; ++i)
    root_[static_cast<unsigned char>(labels_[nodes_[0].first + i])] =
        static_cast<std::int32_t>(nodes_[0].first + i);
}

std::int32_t ByteTrie::find(std::string_view key) const {
  std::int32_t node = 0;
  for (std::size_t i = 0; i < key.size() && node >= 0; ++i) node = step(node, key[i]);
  return node > 0 ? value(node) : -1;
}

std::size_t ByteTrie::longest(std::string_view text, std::int32_t& found) const {
  std::size_t length = 0;
  std::int32_t node = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    node = step(node, text[i]);
    if (node < 0) break;
    if (value(node) >= 0) {
      length = i + 1;
      found = value(node);
    }
  }
  return length;
}

}  // namespace expunge::data
