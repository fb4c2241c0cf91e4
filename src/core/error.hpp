// The program's exceptions. Each carries the exit code of the process; `cli/main.cpp` catches them,
// everything else only adds context. A bad *result* (divergence, exhausted budget) is an Outcome, not an
// error.
#pragma once

#include <fmt/format.h>

#include <source_location>
#include <stdexcept>
#include <string>

namespace expunge {

// Exit codes, fixed for scripts and schedulers.
enum ExitCode : int {
  kExitOk = 0,
  kExitNotAsAsked =
      1,           // finished, but not as asked: verify unequal, run with failed cells, doctor with findings
  kExitUsage = 2,  // wrong command line
  kExitIncomplete = 3,    // reduce: board written, but cells are missing
  kExitConfig = 64,       // mistake in a job or site file
  kExitCorrupt = 65,      // input exists but is damaged
  kExitMissing = 66,      // input does not exist
  kExitScheduler = 69,    // the scheduler refused
  kExitInternal = 70,     // our bug
  kExitCannotWrite = 73,  // output cannot be written
  kExitStuck = 75,        // no progress within the stall limit
  kExitComm = 76,         // MPI or NCCL failed
  kExitRequeue = 85,      // checkpointed on a signal: requeue me
  kExitTooManyRestarts = 86,
  kExitInterrupted = 130,
};

class Error : public std::runtime_error {
 public:
  Error(int exit_code, const std::string& message) : std::runtime_error(message), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// The command line is wrong.
struct UsageError : Error {
  explicit UsageError(const std::string& message) : Error(kExitUsage, message) {}
};

// The user's job file is wrong. The message may hold several lines, one per problem.
struct ConfigError : Error {
  explicit ConfigError(const std::string& message) : Error(kExitConfig, message) {}
};

// The environment is wrong: a file is damaged (65), absent (66) or cannot be written (73).
struct DataError : Error {
  DataError(int exit_code, const std::string& message) : Error(exit_code, message) {}
  static DataError corrupt(const std::string& m) { return {kExitCorrupt, m}; }
  static DataError missing(const std::string& m) { return {kExitMissing, m}; }
  static DataError cannot_write(const std::string& m) { return {kExitCannotWrite, m}; }
};

// MPI or NCCL failed: nothing can be agreed on any more, the process must abort.
struct CommError : Error {
  explicit CommError(const std::string& message) : Error(kExitComm, message) {}
};

// An error that all ranks of a communicator have agreed on: each of them throws it, so a regular end is
// possible.
struct AgreedError : Error {
  using Error::Error;
};

// An invariant of this program does not hold.
struct InternalError : Error {
  explicit InternalError(const std::string& message) : Error(kExitInternal, message) {}
};

[[noreturn]] inline void fail_check(const char* expression, const std::string& message,
                                    std::source_location at = std::source_location::current()) {
  throw InternalError(
      fmt::format("{}:{}: {} (check failed: {})", at.file_name(), at.line(), message, expression));
}

// For our own mistakes only; never reachable by what a user writes.
#define EXPUNGE_CHECK(condition, ...) \
  ((condition) ? void(0) : ::expunge::fail_check(#condition, fmt::format(__VA_ARGS__)))

}  // namespace expunge
