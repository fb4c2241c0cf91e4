// A stage of an ordered sum. The members of a group hold sums of subtrees, each of a run of leaves of its
// own, the runs side by side; every member receives its part of the elements of all of them and adds these up
// to the maximal subtrees of the group's run. A flat sum is one stage over all ranks; a hierarchical one is a
// stage inside every node and then one across nodes.
//
// Groups are no communicators: messages go over the one of all ranks, most of them empty, and every rank
// takes part in the same number of exchanges. So a transport needs nothing that it does not have already.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/tree.hpp"

namespace expunge::comm {

struct Arithmetic;

// A vector of which the elements from `origin` on are at `data`.
struct Elements {
  float* data = nullptr;
  std::int64_t origin = 0;
  float* from(std::int64_t element) const { return data + (element - origin); }
};

class SumStage {
 public:
  // `members`: ranks of this rank's group, in the order of their runs. Member m finishes elements [bounds[m],
  // bounds[m + 1]). `longest`: most elements that any rank finishes, in any group. `comm` must outlive this.
  SumStage(Communicator& comm, std::vector<int> members, std::vector<std::int64_t> bounds,
           std::int64_t longest);

  // For sums over `leaves` leaves, of which the group has [first, last) and member m the subtrees trees[m].
  // `rounds`: most subtrees of any rank, in any group.
  void plan(std::int64_t leaves, std::int64_t first, std::int64_t last,
            std::span<const std::vector<TreeNode>> trees, std::size_t rounds);

  // Of the plan: how many sums are left; whether sum `s` grows in one of this rank's own vectors; floats that
  // finish() needs to receive into.
  std::size_t sums() const { return finish_.sums.size(); }
  bool grows_here(std::size_t s) const { return is_mine(finish_.sums[s]); }
  std::int64_t landing() const { return landings_ * chunk_; }

  // Collective. `mine`: this rank's subtrees, all elements of [bounds.front(), bounds.back()), of which those
  // of its part are overwritten. `into[s]`: where sum s is put that does not grow here. Returns where this
  // rank's part of every sum is, valid until the next call. Allocates nothing.
  std::span<const Elements> finish(const Arithmetic& arithmetic, std::span<const Elements> mine,
                                   std::span<const Elements> into, float* landing);

  // Collective, in place. Every member brings the elements of its part that lie in [first, last), and leaves
  // with those of all parts. Allocates nothing.
  void gather(float* data, std::int64_t first, std::int64_t last, void* stream);

 private:
  bool is_mine(std::size_t position) const {
    return position >= first_position_[me_] && position < first_position_[me_ + 1];
  }
  // Elements of a member's part from `at` elements after its beginning, at most a chunk.
  std::int64_t piece_length(std::size_t member, std::int64_t at) const;
  void exchange_chunk(std::span<const Elements> mine, std::int64_t at, void* stream);
  // What goes to a member and comes from it in the next exchange; nothing of 0 elements.
  void put(std::size_t member, const float* out, std::int64_t out_length, float* in, std::int64_t in_length);

  Communicator& comm_;
  std::vector<int> members_;
  std::size_t me_ = 0;  // in members_
  std::vector<std::int64_t> bounds_;
  std::int64_t longest_, chunk_;

  // The plan. Positions number the subtrees of all members from left to right.
  std::vector<std::size_t> first_position_;  // of each member, and the end
  std::size_t rounds_ = 0;
  TreeFinish finish_;
  std::vector<std::int64_t> slot_;  // by position: which landing place, -1 without one
  std::int64_t landings_ = 0;
  std::vector<Elements> where_;  // by position: its part of the current chunk
  std::vector<Elements> sums_;

  // Of an exchange, by rank.
  std::vector<const void*> send_;
  std::vector<void*> recv_;
  std::vector<std::size_t> send_size_, recv_size_;
  std::vector<std::size_t> offsets_;  // of a gather, in bytes
};

}  // namespace expunge::comm
