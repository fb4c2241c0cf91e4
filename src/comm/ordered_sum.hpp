// Sum of vectors over the leaves of one fixed binary tree (the grains of a step): the same bits on any number
// of ranks.
//
// Leaves 0..G-1 are split into contiguous runs, rank r of W owning [G r / W, G (r+1) / W). Level by level,
// tree node (l, i) is the sum of (l-1, 2i) and (l-1, 2i+1); one without right sibling passes up unchanged. A
// rank adds the maximal subtrees inside its run; slices of these partial sums are exchanged; each rank
// finishes the tree for its slice in the same order; slices are all-gathered. Slices end at multiples of 16
// elements, of a vector that is large for the number of ranks at multiples of kSliceBlock.
//
// Where several nodes hold several ranks each (Communicator::ranks_per_node), the sum is hierarchical. Local
// rank i of a node of n first receives the i-th of n pieces of its neighbours' partial sums and adds the
// maximal subtrees inside the node's run; of these, ranks with the same i exchange slices across nodes and
// finish the tree; slices are gathered across nodes, then pieces inside. So the network carries one node's
// partial sums and not every rank's, in ranks / n - 1 messages a rank instead of ranks - n. Additions and
// their order are those of the flat sum, and so are the bits.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "comm/communicator.hpp"

namespace expunge::comm {

// Leaves that rank `rank` of `ranks` owns: [first, second).
std::pair<std::int64_t, std::int64_t> owned_leaves(std::int64_t leaves, int rank, int ranks);

// Where the vectors live and how they are added. `host_arithmetic()` is plain memory; the CUDA plugin
// supplies device memory.
struct Arithmetic {
  std::function<float*(std::int64_t count)> allocate;  // 64-byte aligned at least
  std::function<void(float*)> release;
  std::function<void(float* into, const float* from, std::int64_t count)> add;  // into += from
  std::function<void(float* into, const float* from, std::int64_t count)> copy;
  std::function<void(float* into, std::int64_t count)> zero;
  void* stream = nullptr;  // handed to the communicator
};
Arithmetic host_arithmetic();

// Arithmetic beside the stream that fills the vectors, so that sums and their exchange overlap with it. On
// the host both are one, and fork and join do nothing.
struct Beside {
  Arithmetic arithmetic;       // on a stream of its own; its memory is never allocated or released
  std::function<void()> fork;  // what is added from now on waits for what the caller's stream has been given
  std::function<void()> join;  // the caller's stream waits for what has been added
};
Beside host_beside();

inline constexpr std::int64_t kSliceBlock = std::int64_t{1} << 16;  // elements

class OrderedSum {
 public:
  static constexpr int kAsTheNodesAre = 0;

  // `count` floats a leaf. Buffers are kept between steps: about log2(leaves)+2 of them at most (a run that
  // begins and ends inside subtrees, possible from three ranks on, may need up to twice that), and small ones
  // for the exchange: at most 4 MiB for each partial sum of another rank; a hierarchical sum has also one
  // piece for each partial sum of the node that does not begin on this rank. `comm` must outlive this.
  // Neither begin(), leaf(), push() nor finish() allocates once all buffers exist.
  // `ranks_per_node`: what to take for a node instead of comm.ranks_per_node(), the same on all ranks. The
  // sum is flat for 1, and where the ranks make no two such nodes or no whole number of them.
  OrderedSum(Communicator& comm, std::int64_t count, Arithmetic arithmetic = host_arithmetic(),
             int ranks_per_node = kAsTheNodesAre);
  ~OrderedSum();
  bool hierarchical() const;

  // The elements that a rank finishes, or a part of the vector.
  struct Slice {
    std::int64_t first, last;
  };
  // Cuts the vector into parts, which begin at multiples of 16 elements and cover it, in the order in which
  // sums in parts take them; the same on all ranks. Each part is exchanged on its own: every rank finishes a
  // slice of each, and gathers it. So a sum that is made part by part, while the last leaf is being filled,
  // is nearly done when the leaf is; its bits are those of the other sums.
  void set_parts(const std::vector<Slice>& parts, Beside beside = host_beside());
  bool has_parts() const;

  // Begins a sum over `leaves` leaves. Collective in effect: all ranks begin with the same number.
  void begin(std::int64_t leaves);
  // Begins a sum in parts: this rank's last push() or push_added(), and finish() on ranks without leaves, are
  // then collective, and finish_slice() and finish_native() cannot be called.
  void begin_in_parts(std::int64_t leaves);
  // Whether the next leaf is this rank's last one of a sum in parts: then push_part() may be called while it
  // is filled.
  bool takes_parts() const;
  // Collective: all ranks sum the parts one after the other, here, in the last push, in end_parts() or in
  // finish(). The next part of the leaf being filled (or of sibling(), when it is added to) is complete and
  // will not be written again.
  void push_part();
  // Collective. Makes up for the pushes and parts of a sum in parts that are missing on this rank: it has no
  // leaves, or could not fill them, and the sum is worthless. Before finish() where ranks meet in something
  // else between.
  void end_parts();
  std::int64_t first_leaf() const;  // this rank's run
  std::int64_t last_leaf() const;
  // Buffer for this rank's next leaf; contents undefined. The caller fills it, then calls push().
  float* leaf();
  // Hands the filled buffer in as the next leaf of this rank's run and adds what can be added.
  void push();
  // Whether the next leaf's left sibling in the tree is a leaf of this rank: then the caller may add its
  // values to sibling() itself and call push_added() instead of filling a buffer. The bits are the same.
  bool adds_next() const;
  float* sibling();
  void push_added();
  // Collective. The sum over all leaves, in a buffer owned by this object, valid until the next begin().
  // Zeros when there are no leaves.
  const float* finish();
  // Collective. The same, without the all-gather at the end: of the buffer that is returned, elements [first,
  // last) of this rank's slice() hold the sum; the others are undefined until they are gathered.
  const float* finish_slice();
  // The elements that a rank finishes; disjoint, together [0, count), no matter how many leaves. In the order
  // of the ranks in a flat sum only.
  Slice slice(int rank) const;
  // Collective. In place: every rank brings the elements of its slice and leaves with all elements of [first,
  // last). `data` is as long as the sum, or ends at `last`.
  void gather(float* data, std::int64_t first, std::int64_t last);
  // Collective. finish() with MPI_Allreduce / ncclAllReduce instead of the tree: for speed comparisons only.
  const float* finish_native();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace expunge::comm
