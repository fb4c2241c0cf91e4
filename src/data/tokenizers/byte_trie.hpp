// Which entries of a vocabulary begin a text: a trie over bytes. Children of a node lie together, so a step
// is one search among a few bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace expunge::data {

class ByteTrie {
 public:
  ByteTrie() = default;
  // Keys may repeat: the last value stays. Values >= 0. An empty key is left out.
  explicit ByteTrie(std::vector<std::pair<std::string, std::int32_t>> entries);

  // A position in the trie: the node after the bytes seen so far; -1 = no key goes on like this.
  std::int32_t step(std::int32_t node, char byte) const {
    if (node == 0) return root_[static_cast<unsigned char>(byte)];
    const Node& n = nodes_[static_cast<std::size_t>(node)];
    for (std::uint32_t i = n.first, end = n.first + n.count; i < end; ++i)
      if (labels_[i] == byte) return static_cast<std::int32_t>(i);
    return -1;
  }
  std::int32_t value(std::int32_t node) const {
    return nodes_[static_cast<std::size_t>(node)].value;
  }  // or -1

  // The value of exactly this key, or -1.
  std::int32_t find(std::string_view key) const;
  // The longest key that `text` begins with: its length (0: none), its value in `value`.
  std::size_t longest(std::string_view text, std::int32_t& value) const;

 private:
  struct Node {
    std::uint32_t first = 0;
    std::uint16_t count = 0;
    std::int32_t value = -1;
  };
  std::vector<Node> nodes_;
  std::vector<char> labels_;  // the byte that leads to a node
  std::vector<std::int32_t> root_ = std::vector<std::int32_t>(256, -1);
};

}  // namespace expunge::data
