#include "core/signals.hpp"

#include <csignal>

#include "core/error.hpp"

namespace expunge {
namespace {

volatile std::sig_atomic_t requested = 0;

void on_signal(int number) { requested = number == SIGINT ? kExitInterrupted : kExitRequeue; }

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (int number : {SIGUSR1, SIGTERM, SIGINT}) sigaction(number, &action, nullptr);
}

int requested_exit() { return requested; }

}  // namespace expunge
