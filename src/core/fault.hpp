// Fault injection, for tests: EXPUNGE_FAULT=rank:1,step:3,kind:kill makes one rank of a program go wrong on
// purpose. Without the variable nothing here does anything.
//
//   kind   throw | exit | kill | hang | nan     strike rank `rank` when it begins its `step`-th optimiser
//   step (counted from 1 in
//                                               each process, over all nodes it works on)
//          enospc | truncate                    from that step on, every write of a store or checkpoint fails
//          as on a full disk, or
//                                               reaches the disk only in half; struck is the rank that writes
//                                               for `rank`'s group
//   stage  create | write | flush | fsync | rename | folder     with kind:kill only: strikes when a sealed
//   file has got that far,
//                                               instead of at a step
#pragma once

#include <cstdint>
#include <string>

namespace expunge::fault {

enum class Kind { kNone, kThrow, kExit, kKill, kHang, kNan, kEnospc, kTruncate };

struct Fault {
  Kind kind = Kind::kNone;
  int rank = 0;
  std::int64_t step = 1;
  std::string stage;  // empty: at the step
};

// ConfigError for text that is none of the above. An empty text is no fault.
Fault parse(const std::string& text);

// Takes the place of the environment variable. For a process that a test has forked.
void configure(const Fault& fault);
// Reads the environment (ConfigError) and says which ranks this process is, and writes for.
void set_place(int rank, int first_of_group, int end_of_group);

// Call at the beginning of every step. Does what is asked: throws InternalError, exits, dies or sleeps. True
// when this rank's loss shall be NaN in this step.
bool at_step();
// Takes back the NaN of at_step(), which then strikes the next step: this rank had no grain.
void not_struck();
// Dies here when this stage is asked for.
void at_stage(const char* stage);
bool disk_is_full();      // kind enospc, due
bool cuts_files_short();  // kind truncate, due

}  // namespace expunge::fault
