// Whether a sweep's runs fit into the memory that a site's jobs ask for.
#pragma once

#include <string>
#include <vector>

#include "cluster/site.hpp"
#include "sweep/sweep.hpp"

namespace expunge::cluster {

// `4G`, `4096M`, `4096` (MiB), `1T` as Slurm reads memory, in bytes; 0 for none. ConfigError otherwise.
double parse_memory(const std::string& text);

// Bytes that a rank may use at this site; 0 where the site does not say.
double memory_of_rank(const Site& site);

// One line for each group of the plan whose estimated peak is above that.
std::vector<std::string> memory_warnings(const sweep::Plan& plan, const Site& site);

}  // namespace expunge::cluster
