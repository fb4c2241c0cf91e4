// Watches the other ranks of this node: a process that ends before the program does was killed, and without a
// message nobody would say so. Also settles which rank of the node may speak when several go down at once.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace expunge::comm {

class NodeWatch {
 public:
  // Collective over `node`, an MPI_Comm given as the address of the handle, so that this header needs no
  // mpi.h. `world_rank_of` names the world's rank of a local one. `on_death` is called on the watching thread
  // when a rank of this node is gone.
  NodeWatch(const void* node, const std::function<int(int local)>& world_rank_of,
            std::function<void(const std::string& what)> on_death);
  ~NodeWatch();
  NodeWatch(const NodeWatch&) = delete;
  NodeWatch& operator=(const NodeWatch&) = delete;

  void stop();       // ends the watch: ranks may now end in any order
  bool may_speak();  // true for the first caller on this node, over all its ranks

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace expunge::comm
