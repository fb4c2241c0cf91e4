// `expunge bench selection`: what choosing units by conditional dependence costs (l_codec).
#pragma once

#include <cstdint>

namespace expunge::cli {

// Chooses `most` of `units` from activations under so many perturbations (synthetic: the loss is a function
// of two of the units), prints seconds and the memory at its peak, and checks the choice. kExitNotAsAsked
// when another unit comes first or when memory exceeds 8 GiB.
int bench_selection(std::int64_t units, std::int64_t perturbations, std::int64_t most);

}  // namespace expunge::cli
