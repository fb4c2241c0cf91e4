// What a program leaves behind when the Runtime ends it.
#pragma once

#include <functional>
#include <string>

namespace expunge::comm {

// Called once, by the rank of this node that prints the abort line, before the program ends: leaves a record
// of the reason. May run on any thread, while others are stuck: it must not wait for them. An empty hook
// takes the old one back.
void set_abort_hook(std::function<void(int exit_code, const std::string& message)> hook);

}  // namespace expunge::comm
