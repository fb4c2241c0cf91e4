// Pairs, or a graph's edges, in memory, with sentences and labels, as a data set.
#pragma once

#include <string>
#include <vector>

#include "data/caption.hpp"
#include "data/dataset.hpp"

namespace expunge::data {

struct FakePair {
  std::int64_t first, second, label;
  std::vector<std::uint16_t> words;  // at most four
};

class FakePairs : public Dataset {
 public:
  explicit FakePairs(std::vector<FakePair> train, std::vector<FakePair> test = {},
                     std::vector<std::string> units = {"edge"})
      : FakePairs(0, std::move(train), std::move(test), std::move(units)) {}
  // The edges of a graph of so many nodes.
  FakePairs(std::int64_t nodes, std::vector<FakePair> train, std::vector<FakePair> test = {},
            std::vector<std::string> units = {"edge"})
      : train_(std::move(train)), test_(std::move(test)) {
    info_.name = "fake_pairs";
    info_.classes = 2;
    info_.tokens = 4, info_.vocabulary = 64, info_.nodes = nodes;
    info_.units = std::move(units);
    info_.train_size = static_cast<std::int64_t>(train_.size());
    info_.test_size = static_cast<std::int64_t>(test_.size());
    for (const Side side : {Side::kTrain, Side::kTest})
      for (auto edge : edges(side)) {
        edge.words.resize(4);
        append_pair(info_, {}, edge.words, edge.first, edge.second, bytes_[side == Side::kTest]);
      }
  }
  const Info& info() const override { return info_; }
  std::int64_t size(Side side) const override { return static_cast<std::int64_t>(edges(side).size()); }
  const std::uint8_t* pixels(Side side, std::int64_t id) const override {
    return bytes_[side == Side::kTest].data() + id * sample_bytes(info_);
  }
  std::int64_t label(Side side, std::int64_t id) const override {
    return edges(side)[static_cast<std::size_t>(id)].label;
  }
  const std::string& checksum() const override { return info_.name; }

 private:
  const std::vector<FakePair>& edges(Side side) const { return side == Side::kTrain ? train_ : test_; }
  Info info_;
  std::vector<FakePair> train_, test_;
  std::vector<std::uint8_t> bytes_[2];
};

}  // namespace expunge::data
