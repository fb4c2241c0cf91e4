// What a method sees: streams, the student, teachers, and calls that run whole epochs. A method contains no
// MPI, I/O, device, seed or resume code.
//
// Resume is a journal: every call of epoch(), accumulate(), once() and freeze() is numbered. A checkpoint
// stores what finished calls returned; on resume the method's program runs again, finished calls return what
// they returned, and the interrupted call goes on at its step. A resumed run is bit-identical to an
// undisturbed one.
//
// All calls are collective over the ranks of the cell.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/train_options.hpp"
#include "engine/stream.hpp"
#include "methods/method.hpp"
#include "tasks/task.hpp"
#include "tensor/flat_parameters.hpp"

namespace expunge {

// Which samples of its stream a term is about: its sum-loss is divided by their global count in the step.
enum class Over { kAll, kForget, kRetain };

// A named part of the objective on one grain: per-sample losses in their positive meaning and a signed weight
// (ascent is a negative weight). The engine divides the sum over the samples in `over` by their count over
// the whole step.
struct Term {
  std::string name;
  torch::Tensor loss;  // [n]
  double weight = 1;
  Over over = Over::kAll;
};
using Terms = std::vector<Term>;
using LossFunction = std::function<Terms(const Batch&)>;

// BatchNorm during a call. kBatchOnly: grain statistics, running statistics left alone.
enum class BatchNormMode { kDefault, kTrain, kBatchOnly, kFrozen };

struct EpochOptions {
  BatchNormMode bn = BatchNormMode::kDefault;  // kDefault: train.bn
  double lr_scale = 1;                         // on top of the schedule
  std::int64_t epoch = -1;                     // drives the step schedule; -1: number of epoch() calls so far
  std::function<void(torch::Tensor& values)>
      after_step;  // map on the flat trainable parameters after each step (salun's restore)
  std::function<void(const torch::Tensor& values, torch::Tensor& gradient)>
      penalty;  // adds its gradient once a step
};

struct EpochResult {
  std::int64_t steps = 0;
  double loss = 0;  // mean over steps of the signed objective
};

// Passes through networks, in samples over all ranks; times the model's Cost they are FLOPs.
struct Ledger {
  double student_forward = 0, student_backward = 0, teacher_forward = 0;
};

// What a run leaves behind besides parameters.
struct RunReport {
  Ledger ledger;
  std::int64_t steps = 0;  // optimiser steps
  double seconds = 0;      // inside the method, checkpoints excluded, earlier incarnations included
  double checkpoint_seconds = 0;
  std::vector<double> history;  // rows of kHistoryColumns, one per epoch() call
};
inline const std::vector<std::string> kHistoryColumns = {
    "call", "epoch", "steps", "objective", "gradient_norm", "lr", "forward_backward_samples"};

// A frozen copy of the student (or another network of its architecture): eval mode, no gradient, running
// BatchNorm statistics.
class Teacher {
 public:
  models::Tensors operator()(const Batch& b) const;

  struct State;  // engine/context_impl.hpp
  explicit Teacher(std::shared_ptr<State> state) : state_(std::move(state)) {}

 private:
  std::shared_ptr<State> state_;
};

class Context {
 public:
  struct Setup;  // engine/setup.hpp
  explicit Context(Setup setup);
  ~Context();

  // Streams over the training samples.
  Stream forget() const;
  Stream retain() const;
  Stream mix(const Stream& a, const Stream& b) const;  // concatenation, reshuffled each pass
  // `count` samples of a one-source stream, drawn once without replacement, keyed by (seed, purpose); all of
  // them when it has fewer.
  Stream subset(const Stream& of, std::int64_t count, const std::string& purpose) const;

  const tasks::Task& task() const;
  models::Tensors student(const Batch& b);  // forward pass in the mode of the running call
  // Corrupted targets of the D_f samples in b, keyed by (seed, "relabel", id) and, when redraw, by the pass.
  torch::Tensor relabel(const Batch& b, const std::string& mode, bool redraw) const;

  Teacher freeze();          // the student as it is now
  Teacher random_teacher();  // a fresh initialisation, keyed by (seed, "badinit")

  // One pass over the stream: for each step, grains -> terms -> gradient tree -> clip -> optimiser.
  EpochResult epoch(const Stream& stream, const LossFunction& loss, const EpochOptions& options = {});
  // Sum over one pass (in eval mode, no update) of the gradient of the terms' sum-losses, not divided by
  // counts: a flat tensor laid out like values(). Signed: methods take magnitudes afterwards.
  torch::Tensor accumulate(const Stream& stream, const LossFunction& loss);
  // A tensor computed once (a mask, noise), the same on every rank; stored in checkpoints.
  torch::Tensor once(const std::string& name, const std::function<torch::Tensor()>& compute);

  // The trainable parameters, flat; windows of single tensors through layout().
  torch::Tensor& values();
  const tensor::FlatBuffer& layout() const;
  const config::TrainOptions& train() const;
  std::uint64_t seed() const;
  bool has_batch_norm() const;
  bool has_dropout() const;
  void log(const std::string& line) const;  // rank 0, once per run
  const RunReport& report() const;

  struct Impl;  // engine/context_impl.hpp

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace expunge
