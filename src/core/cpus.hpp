// The processors that this process may use.
#pragma once

#include <vector>

namespace expunge {

// Numbers of the CPUs of the process's affinity mask, ascending.
std::vector<int> own_cpus();

}  // namespace expunge
