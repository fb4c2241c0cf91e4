// Settings that published benchmarks ran their methods with, as a layer under the job's own.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace expunge::sweep {

// MU-Bench's scripted settings of a method on a data set (AdamW, linear decay without warm-up, clipping at
// norm 1; epochs, batch, learning rate and decay by data set and method), in the keys of [train]. `ratio`:
// share of the training samples that is deleted. Null where the benchmark has no script for the data set.
nlohmann::json mubench_settings(const std::string& dataset, const std::string& model,
                                const std::string& method, double ratio);
std::vector<std::string> mubench_datasets();

}  // namespace expunge::sweep
