// The subcommands that need LibTorch. Each takes its request as JSON from the command line layer and returns
// an exit code.
#pragma once

#include <nlohmann/json.hpp>

#include "comm/runtime.hpp"

namespace expunge {

// {job, out, cells, ranks_per_cell, set: [..], fresh, keep_outputs, progress}. Collective over the world.
int run_sweep(comm::Runtime& runtime, const nlohmann::json& request);
// {file}: computes the store's node again and compares science. Collective over the world.
int verify_store(comm::Runtime& runtime, const nlohmann::json& request);
// {model, dataset shape, batch, grain, steps, precision}: the engine's step against a bare loop. Collective
// over the world.
int bench_step(comm::Runtime& runtime, const nlohmann::json& request);
// The same with {method: "all" or names with commas, tokens}: whole runs of methods against fine-tuning.
// kExitNotAsAsked when one takes over 1.3 times the time of its FLOPs. Collective over the world.
int bench_methods(comm::Runtime& runtime, const nlohmann::json& request);

// {job, set, cell, device, weak, steps, threads}: measures steps of the job's first original (or of one cell)
// on the ranks at hand; rank 0 prints a line of JSON (cli/scale.cpp reads it). Collective over the world.
int probe_scaling(comm::Runtime& runtime, const nlohmann::json& request);

}  // namespace expunge
