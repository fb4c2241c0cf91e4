// What the MPI side of this layer shares between its .cpp files; no mpi.h here.
#pragma once

#include <memory>

#include "comm/communicator.hpp"

namespace expunge::comm {

// CommError naming the call, with MPI's own text, unless `result` is MPI_SUCCESS. Every MPI call goes through
// it.
void check_mpi(int result, const char* call);

// Collective over all ranks of the program: a communicator of their own, apart from everything else. MPI must
// be up.
std::unique_ptr<Communicator> make_mpi_world();

}  // namespace expunge::comm
