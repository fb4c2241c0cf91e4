#include "cli/engine_entry.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>

#include "core/error.hpp"
#include "core/files.hpp"

namespace expunge::cli {
namespace {

constexpr const char* kLibrary = "libexpunge_engine.so";

using EngineMain = int (*)(const char* command, const char* request);

// BUILD/bin/expunge and BUILD/lib/libexpunge_engine.so, the same once installed.
std::filesystem::path library_path() {
  const auto program = program_path();
  return program.empty() ? std::filesystem::path(kLibrary)
                         : program.parent_path().parent_path() / "lib" / kLibrary;
}

EngineMain open_engine() {
  const auto path = library_path();
  if (path.has_parent_path() && !std::filesystem::exists(path))
    throw DataError::missing(
        fmt::format("{} is not there: this build has no engine; build with LibTorch (launch/setup.sh, "
                    "EXPUNGE_WITH_ENGINE=ON)",
                    path.string()));
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!library) {
    const char* reason = ::dlerror();
    throw DataError::missing(fmt::format("cannot open the engine: {}", reason ? reason : path.string()));
  }
  auto* entry = reinterpret_cast<EngineMain>(::dlsym(library, "expunge_engine_main"));
  if (!entry)
    throw DataError::missing(
        fmt::format("{}: no engine of this program (expunge_engine_main is missing)", path.string()));
  return entry;
}

}  // namespace

int run_engine(const std::string& command, const nlohmann::json& request) {
  return open_engine()(command.c_str(), request.dump().c_str());
}

std::string engine_problem() {
  try {
    open_engine();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace expunge::cli
