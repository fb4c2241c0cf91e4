// SIGUSR1 and SIGTERM ask for a checkpoint and exit 85, SIGINT for a checkpoint and exit 130. Handlers only
// set a flag; the flag joins the message of the next step, so that all ranks of a cell leave at the same one.
#pragma once

namespace expunge {

void install_signal_handlers();  // early: a signal during start-up must not kill the process
int requested_exit();            // 0, kExitRequeue or kExitInterrupted

}  // namespace expunge
