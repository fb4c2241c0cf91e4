// How a Context is made: the engine fills it for a cell, tests fill it with toy models.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/ordered_sum.hpp"
#include "engine/context.hpp"
#include "engine/sample_source.hpp"
#include "models/descriptor.hpp"
#include "models/torch/model.hpp"
#include "store/checkpoint_file.hpp"
#include "tensor/captured.hpp"

namespace expunge {

// Thrown through a method's program by the engine, on all ranks at the same step.
struct Stopped {  // divergence or an exhausted budget
  Outcome outcome;
  std::string text;
};
struct Interrupted {};  // a signal: the checkpoint is on disk

// Bits of Setup::poll.
inline constexpr int kPollStop = 1;        // checkpoint, then stop with Interrupted
inline constexpr int kPollCheckpoint = 2;  // checkpoint and go on

// One optimiser step, seen from outside before it is taken.
struct StepView {
  torch::Tensor gradient;             // summed over the ranks, of what the step trains
  std::vector<torch::Tensor> values;  // the flat parameters that it belongs to, in order
  std::function<double()> objective;  // collective: the step's objective at the values as they are now
};

struct Context::Setup {
  comm::Communicator* comm = nullptr;                          // ranks of the cell
  std::shared_ptr<models::Model> model;                        // the student, holding the starting parameters
  std::shared_ptr<tensor::FlatParameters> parameters;          // of the student
  std::function<std::shared_ptr<models::Model>()> make_model;  // another network of the same architecture
  const tasks::Task* task = nullptr;
  const SampleSource* samples = nullptr;
  std::vector<std::int64_t> forget, retain;  // sample ids, ascending
  std::vector<std::int64_t> unseen;          // samples that nothing was trained on (the validation split)
  config::TrainOptions train;
  std::int64_t grain = 32;
  std::uint64_t seed = 0;
  std::int64_t total_steps = 0;  // for the schedule
  double budget_flops = 0;       // 0 = none
  models::Cost cost;             // of one sample
  torch::Device device = torch::kCPU;
  bool inputs_repeat = false;      // a training sample is the same in every pass, and passes are repeated
  std::int64_t teacher_bytes = 0;  // most bytes of teachers' answers that a rank keeps
  bool native_reduction = false;
  int ranks_per_node = comm::OrderedSum::kAsTheNodesAre;  // of ordered sums
  comm::Arithmetic arithmetic = comm::host_arithmetic();
  // What keeps a GPU busy and changes no bit; on a processor it would cost more than it saves.
  bool load_ahead = false;              // the next grain is read while one is computed
  bool overlap_sums = false;            // gradients are summed over the ranks while the last grain's arrive,
  std::int64_t part_floats = 25 << 18;  // in parts of so many at least: 25 MiB,
  comm::Beside beside = comm::host_beside();  // here
  std::function<std::unique_ptr<tensor::Captured>()>
      capture;               // passes of the student are captured; empty: not
  bool eval_frozen = false;  // modules without trainable parameters stay in eval mode ("fusion")
  std::string cell_id;
  // Of deletion requests that follow one another: the number of this one, and what earlier ones left.
  std::int64_t request = 0, requests = 1;
  std::map<std::string, torch::Tensor>* carried = nullptr;

  std::function<void()> tick = [] {};  // progress, once a step
  std::function<void(std::int64_t samples)> progress = [](std::int64_t) {};
  std::function<int()> poll = [] {
    return 0;
  };  // local wishes, asked before each step; any rank's bits count for all
  std::function<void(const store::Checkpoint&)> save = [](const store::Checkpoint&) {
  };                                        // called on rank 0 only
  std::optional<store::Checkpoint> resume;  // the same on all ranks
  std::function<void(StepView&)> inspect;   // tests: called, collectively, before each optimiser step
};

}  // namespace expunge
