// Collective communication. A function is collective if and only if it takes or holds a Communicator&; all
// ranks of it must call it in the same order. Every call numbers itself; the abort line prints the last
// number and name.
//
// Transports: `self` (one rank), `mpi` (host memory), `nccl` (one GPU a rank) and `staged` (GPU memory
// through pinned host memory and MPI, for ranks that share a GPU). The last two live in the CUDA plugin.
// Control messages (gather, broadcast, agree) always travel in host memory; only `ordered_sum` and
// `native_sum` see device pointers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace expunge::comm {

class Communicator {
 public:
  virtual ~Communicator() = default;

  int rank() const { return rank_; }
  int size() const { return size_; }
  virtual std::string transport() const = 0;  // self | mpi | nccl | staged
  // Ranks that share a node, where every node holds as many and they have consecutive numbers; else 1
  // (comm/nodes.hpp).
  int ranks_per_node() const { return ranks_per_node_; }

  // Host memory. All raise CommError; counts beyond int are chunked.
  virtual void barrier() = 0;
  virtual void broadcast(void* data, std::size_t bytes, int root) = 0;
  // `counts[r]` bytes come from rank r, concatenated in rank order into `recv` on every rank.
  virtual void all_gather(const void* send, void* recv, const std::vector<std::size_t>& counts) = 0;
  // The same, into rank `root` only (`recv` is ignored elsewhere).
  virtual void gather(const void* send, void* recv, const std::vector<std::size_t>& counts, int root) = 0;

  // Exchanges `send[r]` (bytes `send_bytes[r]`) with rank r; received pieces land at `recv[r]`. The building
  // block of the ordered reduction; device pointers on nccl and staged. `stream` is a raw cudaStream_t, null
  // on the host.
  virtual void exchange(const std::vector<const void*>& send, const std::vector<std::size_t>& send_bytes,
                        const std::vector<void*>& recv, const std::vector<std::size_t>& recv_bytes,
                        void* stream) = 0;
  // In-place all-gather of slices: rank r owns bytes [offsets[r], offsets[r+1]) of `data`.
  virtual void all_gather_slices(void* data, const std::vector<std::size_t>& offsets, void* stream) = 0;
  // The library's own sum, in place (MPI_Allreduce, ncclAllReduce): for comparisons; bits depend on the
  // number of ranks.
  virtual void native_sum(float* data, std::int64_t count, void* stream) = 0;

  // A communicator over the ranks with the same `color`, ordered by `key`. Collective over the parent.
  virtual std::unique_ptr<Communicator> split(int color, int key) = 0;

  // Collective. When `problem` is non-empty on any rank, every rank throws AgreedError with the message of
  // the lowest such rank, prefixed with the ranks concerned. Use before a collective that a failed rank would
  // miss.
  void agree(const std::string& problem, int exit_code);
  // Runs `work` on this rank and agrees on its failure: an Error thrown on any rank is thrown on all.
  // CommError and InternalError pass through: they end the program.
  template <class Work>
  void together(Work&& work);

  // Convenience over all_gather: one T from every rank.
  template <class T>
  std::vector<T> all_gather_value(const T& value) {
    std::vector<T> out(static_cast<std::size_t>(size_));
    all_gather(&value, out.data(), std::vector<std::size_t>(static_cast<std::size_t>(size_), sizeof(T)));
    return out;
  }
  void broadcast_text(std::string& text, int root);

  // Seconds this rank has spent inside collectives.
  double seconds() const { return seconds_; }

 protected:
  Communicator(int rank, int size, int ranks_per_node = 1)
      : rank_(rank), size_(size), ranks_per_node_(ranks_per_node) {}
  int rank_, size_, ranks_per_node_;
  double seconds_ = 0;
};

// A world of one rank; every operation is real.
std::unique_ptr<Communicator> make_self();

}  // namespace expunge::comm

#include "comm/together.hpp"
