// What this binary was built from; filled by CMake in build_info.cpp.in.
#pragma once

#include <string>

namespace expunge::build_info {

extern const char* const kVersion;  // "0.1.0"
extern const char* const kGitHash;  // 40 digits or "unknown"
extern const bool kGitDirty;
extern const char* const kCompiler;   // "GNU 12.2.0"
extern const char* const kBuildType;  // "Release"
extern const char* const kTorchVersion;
extern const bool kWithCuda;

// "expunge 0.1.0 (1a2b3c4, GNU 12.2.0)"
std::string one_line();

}  // namespace expunge::build_info
