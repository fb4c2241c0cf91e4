// A sweep: the axes of a job file expanded into cells with hashed ids, and the graph original -> cells.
// Torch-free; a pure function of the job file (and `--set`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "config/reader.hpp"
#include "data/split.hpp"
#include "sweep/memory.hpp"

namespace expunge::sweep {

// One trained model f; computed once, shared by the cells that start from it.
struct Original {
  std::string id;   // 16 hex digits over the science settings
  std::string key;  // "dataset=.../model=.../seed=..."
  std::string dataset, model;
  std::int64_t seed = 42;
  nlohmann::json settings;  // resolved: {dataset, model, seed, dataset_options, data, original, evaluate};
                            // and model_options, where the job has some
  double flops = 0;         // priced training
  std::int64_t parameters = 0;
};

// One unlearning run.
struct Cell {
  std::string id, key;
  std::string dataset, model, method;
  data::Ratio ratio;
  std::int64_t seed = 0;
  std::size_t original = 0;  // index into Plan::originals
  nlohmann::json settings;   // resolved: {dataset, model, method, ratio, seed, original_id, dataset_options,
                             // data, method_options, evaluate, budget, reduction}
  double flops = 0, retrain_flops = 0, eval_flops = 0;
  std::int64_t total_steps = 0;  // optimiser steps, for the schedule
  double budget_flops = 0;       // 0 = none
};

// [run], and `topology` of [comm]: how, not what. No part of any id.
struct RunSettings {
  double stall_seconds = 600;            // no progress for so long: exit 75
  double checkpoint_seconds = 300;       // time between periodic checkpoints
  std::int64_t checkpoint_steps = 0;     // beside the time, every so many steps; 0 = off
  bool keep_outputs = false;             // per-sample outputs in the cells' stores
  bool keep_models = false;              // unlearned models as Hugging Face folders
  std::int64_t teacher_megabytes = 256;  // of teachers' answers that a rank keeps; changes no bit
  bool flat_sums = false;                // over nodes as inside one (comm/ordered_sum.hpp); changes no bit
  bool cuda_graphs = false;              // on a GPU the student's passes are captured; changes no bit
  bool recompute_blocks = false;         // activation checkpointing of transformers' blocks; changes no bit
};

struct Plan {
  std::string name, file;
  std::string text;    // the job file
  std::string sha256;  // over all cell ids, sorted
  RunSettings run;
  std::vector<Original> originals;
  std::vector<Cell> cells;             // axes in declared order, last one fastest
  std::vector<std::string> row_names;  // union over the sweep
  std::vector<std::string> metrics;
  std::vector<GroupMemory> memory;  // of each data set and model
};

// Reads, checks and expands. Throws ConfigError with every problem. `overrides`: "section.key=value" of
// --set. DataError 65/66 when a data set's files are damaged, or absent where only they tell its size.
Plan load(const std::filesystem::path& job, const std::vector<std::string>& overrides = {});

// First 16 hex digits of SHA-256 over the canonical JSON (sorted keys, no spaces) of the settings, places of
// data, tokenizers and models left out (hashes of the latter two are in).
std::string settings_id(const nlohmann::json& settings);

// Ranks of one cell where nobody says: all of them when a model has 20 million parameters or more, else one.
int default_ranks_per_cell(const Plan& plan, int world_size);

// Folder layout under OUT/SWEEP.
struct Layout {
  std::filesystem::path root;
  std::filesystem::path plan() const { return root / "plan.json"; }
  std::filesystem::path original_folder(const std::string& id) const { return root / "originals" / id; }
  std::filesystem::path original_store(const std::string& id) const {
    return original_folder(id) / "store.h5";
  }
  std::filesystem::path cell_store(const std::string& id) const {
    return root / "cells" / id.substr(0, 2) / (id + ".h5");
  }
  std::filesystem::path model_folder(const std::string& id) const { return root / "models" / id; }
  std::filesystem::path failure(const std::string& id) const { return root / "failures" / (id + ".json"); }
  std::filesystem::path checkpoint(const std::string& id, int generation) const {
    return root / "checkpoints" / (id + "." + std::to_string(generation) + ".h5");
  }
  std::filesystem::path claim(const std::string& id) const { return root / "claims" / (id + ".json"); }
  std::filesystem::path logs() const { return root / "logs"; }
  std::filesystem::path board() const { return root / "board.h5"; }
};

// `0-31`, `3,17,40-45` or ids (full or a unique prefix of 6 or more digits) to cell indices. UsageError
// otherwise.
std::vector<std::size_t> select_cells(const Plan& plan, const std::string& selection);

}  // namespace expunge::sweep
