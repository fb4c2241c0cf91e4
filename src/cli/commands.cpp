#include "cli/commands.hpp"

#include <algorithm>

namespace expunge::cli {
namespace {

// A function-local object exists before the first static registration, in whatever order files are
// initialised.
std::vector<Command>& table() {
  static std::vector<Command> all;
  return all;
}

}  // namespace

RegisterCommand::RegisterCommand(const char* name, const char* summary, int (*run)(Args& args)) {
  const auto by_name = [](const Command& a, const Command& b) { return a.name < b.name; };
  Command added{name, summary, run};
  table().insert(std::upper_bound(table().begin(), table().end(), added, by_name), std::move(added));
}

const std::vector<Command>& commands() { return table(); }

const Command* find_command(const std::string& name) {
  for (const auto& command : commands())
    if (command.name == name) return &command;
  return nullptr;
}

}  // namespace expunge::cli
