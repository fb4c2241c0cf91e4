// What a program does when one rank goes wrong; started under mpirun by tests/cli/abort_test.cpp.
//   abort_probe WHAT [STALL_SECONDS]
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "comm/ordered_sum.hpp"
#include "comm/runtime.hpp"
#include "core/error.hpp"

using namespace expunge;

namespace {

constexpr unsigned kLong = 600;  // seconds; every scenario ends far earlier, by the abort path

void scenario(const std::string& what, comm::Runtime& runtime) {
  auto& world = runtime.world();
  const bool last = world.rank() == world.size() - 1;
  comm::OrderedSum sum(world, 1000);
  for (int step = 0; step < 3; ++step) {
    runtime.phase("step " + std::to_string(step));
    sum.begin(world.size());
    std::memset(sum.leaf(), 0, 1000 * sizeof(float));
    sum.push();
    if (step == 2 && last) {
      if (what == "throw") throw InternalError("two lines:\nthe invariant broke");
      if (what == "terminate") std::thread([] { throw std::runtime_error("out of a thread"); }).join();
      if (what == "hang") ::sleep(kLong);
      if (what == "exit") ::_exit(9);
      if (what == "comm") throw CommError("MPI_Sendrecv failed: made up");
      if (what == "wrong_collective") world.broadcast_text(*new std::string("x"), 0);
      if (what == "wrong_size") {
        comm::OrderedSum shorter(world, 500);
        shorter.begin(world.size());
        shorter.leaf(), shorter.push(), shorter.finish();
      }
    }
    sum.finish();
  }
  if (what == "suspended") {  // three times the stall limit
    runtime.suspend_watchdog(true);
    ::usleep(1500000);
    runtime.suspend_watchdog(false);
  }
  if (what == "unfinished") throw Error(kExitConfig, "all ranks fail alike");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  comm::Runtime runtime(&argc, &argv, argc > 2 ? std::stod(argv[2]) : 60);
  try {
    scenario(what, runtime);
    std::printf("rank %d done\n", runtime.world().rank());
    runtime.finish();
    return 0;
  } catch (const Error& error) {
    runtime.abort(error.exit_code(), error.what());
  }
}
