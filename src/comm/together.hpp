// Communicator::together, out of line to keep the interface readable.
#pragma once

#include "comm/communicator.hpp"
#include "core/error.hpp"

namespace expunge::comm {

template <class Work>
void Communicator::together(Work&& work) {
  std::string problem;
  int code = kExitInternal;
  try {
    work();
  } catch (const CommError&) {
    throw;  // the communicator itself is broken: nothing can be agreed on
  } catch (const InternalError&) {
    throw;  // our bug: the program ends
  } catch (const Error& error) {
    problem = error.what(), code = error.exit_code();
  } catch (const std::exception& error) {
    problem = error.what();
  }
  agree(problem, code);
}

}  // namespace expunge::comm
