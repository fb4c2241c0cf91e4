// Shared by the test binaries that run under mpirun: one Runtime for the whole process.
#pragma once

#include "comm/runtime.hpp"

namespace expunge::test {

// The process's runtime; valid inside tests.
comm::Runtime& runtime();
inline comm::Communicator& world() { return runtime().world(); }

}  // namespace expunge::test
