// The SPMD runtime: MPI start and end, threads, the watchdog and the abort path. Built once, in `main`, only
// by subcommands that communicate.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.hpp"

namespace expunge::comm {

class Runtime {
 public:
  // MPI_Init_thread (asks MULTIPLE, requires SERIALIZED), MPI_ERRORS_RETURN, rank prefix of the log,
  // std::set_terminate. Works without a launcher (one rank). `stall_seconds`: the watchdog aborts (75) after
  // that long without tick(); 0 = off.
  Runtime(int* argc, char*** argv, double stall_seconds = 1800);
  // Never communicates; an unfinished runtime is left to the abort path.
  ~Runtime();

  Communicator& world();   // `self` for one rank, else `mpi`
  int local_rank() const;  // among the ranks of this node
  int local_ranks() const;
  int available_cpus()
      const;  // CPUs in this rank's affinity mask divided by the ranks that share it, at least 1
  std::string mpi_version() const;  // "Open MPI 4.1.4"

  void tick();                          // progress: resets the watchdog
  void phase(const std::string& name);  // named in the abort line; also a tick
  void set_stall_limit(double seconds);
  void suspend_watchdog(bool suspended);  // around known-long waits

  // Collective. Regular end: barrier, MPI_Finalize. Call last on the success path.
  void finish();
  // Prints `expunge: fatal: rank 3/8 HOST PHASE: message (last collective #412 ordered_sum)` and
  // MPI_Abort(code). Does not return.
  [[noreturn]] void abort(int exit_code, const std::string& message);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace expunge::comm
