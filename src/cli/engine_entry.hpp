// Opens the shared library that holds LibTorch and the engine, for the subcommands that need them. The
// program itself starts without it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace expunge::cli {

// Runs an engine command ("run", "verify", "bench-step" ...) and returns its exit code. Under mpirun and srun
// every rank calls it. DataError 66, with the loader's reason, when the library cannot be opened.
int run_engine(const std::string& command, const nlohmann::json& request);

// Opens the library as run_engine does. Empty when that works, else why not.
std::string engine_problem();

}  // namespace expunge::cli
