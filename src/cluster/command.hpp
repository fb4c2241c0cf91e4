// Runs the scheduler's programs and takes what they say.
#pragma once

#include <string>
#include <vector>

namespace expunge::cluster {

struct CommandResult {
  int exit_code = 0;  // 128 + signal when a signal ended it
  bool found = true;  // false: no such program on PATH
  bool timed_out = false;
  std::string out, err;
  bool ok() const { return found && !timed_out && exit_code == 0; }
  std::string message() const;  // what it complained about, in one line
};

// `words[0]` is looked for on PATH. Standard input is empty. `environment`: "NAME=VALUE" beside this
// process's own. A program that takes longer than `seconds` is killed. InternalError when no process can be
// made.
CommandResult run_command(const std::vector<std::string>& words, double seconds = 60,
                          const std::vector<std::string>& environment = {});

// A word for a POSIX shell.
std::string shell_quoted(const std::string& word);

}  // namespace expunge::cluster
