// What the nodes of a cluster look like from the inside: `expunge doctor --probe`, started there through the
// site's own launcher, prints a line of JSON.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cluster/site.hpp"
#include "comm/runtime.hpp"

namespace expunge::cli {

// What a rank sees of its node; rank 0 prints {probe, mpi, ranks: [{host, cpus, machine, time}], folder:
// {skew, locks, free} or {problem}, gpu: {none} or {problem} or {transport, nccl, ms, device}}. Collective.
void print_probe(comm::Runtime& runtime, const std::filesystem::path& out);

// Starts `at_once` probes of `ranks` ranks side by side and waits for them. What they printed; fewer lines
// than expected when some did not start or end in time, and then `problem` says what was heard.
std::vector<nlohmann::json> run_probes(const cluster::Site& site, const std::filesystem::path& out,
                                       std::int64_t ranks, int at_once, double seconds, std::string& problem);

double unix_time();  // seconds

}  // namespace expunge::cli
