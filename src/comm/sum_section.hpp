// A run of elements of an ordered sum that the ranks exchange on their own: every rank finishes a slice of
// it. Flat: one stage over all ranks; hierarchical: one inside every node, then one across nodes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "comm/sum_stage.hpp"

namespace expunge::comm {

class SumSection {
 public:
  // Elements [first, last) of the sum's vectors. `inside`: ranks of a node, 1 for a flat sum; it divides the
  // number of ranks. `comm` must outlive this.
  SumSection(Communicator& comm, std::int64_t first, std::int64_t last, int inside);

  std::int64_t first() const { return slices_.front(); }
  std::int64_t last() const { return slices_.back(); }
  // The elements that a rank finishes, from the first to before the second.
  std::pair<std::int64_t, std::int64_t> slice(int rank) const;

  // For sums over `leaves` leaves, at least one.
  void plan(std::int64_t leaves);
  // Of the plan: floats that finish() needs to receive into; whether the sum grows in this rank's first
  // subtree.
  std::int64_t landing() const;
  bool holds_leftmost() const;

  // Collective. `mine`: this rank's subtrees. Afterwards this rank's slice of `result` holds the sum;
  // elements of `mine` inside the section may have been overwritten. `result` is the first of `mine` where
  // the rank holds the leftmost. Allocates nothing.
  void finish(const Arithmetic& arithmetic, std::span<const Elements> mine, float* result, float* landing);
  // Collective, in place. Every rank brings its slice, and leaves with all elements of [from, to), which lie
  // inside.
  void gather(float* data, std::int64_t from, std::int64_t to, void* stream);

 private:
  // Local rank i of node k finishes slice i * nodes + k, so the i-th piece, of the node's i-th rank, is the
  // slices of all ranks with this i. A flat sum has nodes of one rank.
  int local() const { return comm_.rank() % inside_; }
  int first_of_node() const { return comm_.rank() - local(); }
  std::int64_t bound(int s) const { return slices_[static_cast<std::size_t>(s)]; }
  std::int64_t piece_first() const { return bound(local() * nodes_); }
  std::int64_t piece_floats() const;
  SumStage make_stage(int rank, int stride, int members, int at, int width);
  void find_homes();
  std::span<const Elements> finish_node(const Arithmetic& arithmetic, std::span<const Elements> mine,
                                        float* result, float* landing);

  Communicator& comm_;
  const int inside_, nodes_;
  std::vector<std::int64_t> slices_;  // slice s is elements [slices_[s], slices_[s+1])
  std::optional<SumStage> within_;    // a node; hierarchical only
  std::optional<SumStage> across_;

  std::int64_t planned_ = -1;       // leaves
  std::vector<std::int64_t> home_;  // of each sum of the node: its place among the pieces kept, or -1
  std::int64_t homes_ = 0;
  std::vector<Elements> into_;
};

}  // namespace expunge::comm
