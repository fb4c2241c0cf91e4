// The table of subcommands. Each registers itself from its own file:
//   const RegisterCommand entry{"plan", "cells, FLOPs and estimated time of a sweep", run};
#pragma once

#include <string>
#include <vector>

#include "cli/args.hpp"

namespace expunge::cli {

struct Command {
  std::string name, summary;
  int (*run)(
      Args& args);  // returns the exit code; results to standard output, everything else to standard error
};

const std::vector<Command>& commands();                // sorted by name
const Command* find_command(const std::string& name);  // null when unknown

struct RegisterCommand {
  RegisterCommand(const char* name, const char* summary, int (*run)(Args& args));
};

}  // namespace expunge::cli
