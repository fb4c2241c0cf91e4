// What a rank holds at its peak, estimated from the job alone: nothing is built or measured. Torch-free.
//
// Two moments are compared, training steps and the evaluation after them; a run's peak is the larger. While
// training: the process; pages of the packed data set; the original's per-sample outputs; parameters; buffers
// of the gradients' ordered sum (log2 of the grains that a rank owns); the optimiser's state; what
// the method keeps (methods::Descriptor::copies); activations of a grain (models/activations.hpp).
// Evaluating: a second network and the outputs that metrics compare, but no gradients and no optimiser.
//
// Not counted: decoding a data set that is not packed yet, GPUs' memory, originals that a process has kept
// from other groups of its sweep, and a checkpoint while it is written, which is told apart.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "data/split.hpp"

namespace expunge::sweep {

struct Base;

// Bytes. 0 where a moment has no such part.
struct Memory {
  double process = 0;     // the program with LibTorch and MPI
  double data = 0;        // mapped pages, which the ranks of a node share; each rank's resident set has them
  double outputs = 0;     // per sample
  double parameters = 0;  // of the student, and its casts to bf16
  double leaf = 0;        // one buffer of the ordered sum
  double scratch = 0;     // of the backward pass: the gradient of the largest table
  double optimizer = 0;
  double copies = 0;
  double activations = 0;
  std::int64_t grains = 0;  // of a step
  double checkpoint = 0;    // more, on the first rank, while one is written

  double gradients(std::int64_t ranks) const;     // all buffers of one of so many ranks, and the scratch
  double optimizer_of(std::int64_t ranks) const;  // a slice of a large model's
  double total(std::int64_t ranks) const;
};

// Of a run with these resolved training options; `copies` of all parameters are held by its method.
Memory memory_of_run(const Base& base, const nlohmann::json& options, const data::SplitSizes& sizes,
                     double copies, bool recompute_blocks);

// The largest run of a data set and model in a sweep.
struct GroupMemory {
  std::string dataset, model, run;  // run: "original" or a method
  Memory memory;
};

// {process, data, ..., total} for one of so many ranks.
nlohmann::json to_json(const Memory& memory, std::int64_t ranks);

}  // namespace expunge::sweep
