// What a method sees: streams, the student, teachers, and calls that run whole epochs. A method contains no
// MPI, I/O, device, seed or resume code.
//
// Resume is a journal: every call that computes something (epoch(), fold(), gather(), once(), update(),
// freeze() ...) is numbered. A checkpoint stores what finished calls returned; on resume the method's program
// runs again, finished calls return what they returned, and the interrupted call goes on at its step. A
// resumed run is bit-identical to an undisturbed one.
//
// All calls are collective over the ranks of the cell.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/train_options.hpp"
#include "engine/sample_source.hpp"
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
  // What a sample counts in the divisor, [n]: tokens, class weights. Undefined: 1. Only of terms named in
  // EpochOptions::apart, because the sum over the step is known only after all grains ran.
  torch::Tensor count = {};
};
using Terms = std::vector<Term>;
using LossFunction = std::function<Terms(const Batch&)>;

// A term of which the factor is known only after the whole step ran forward: its gradient is reduced in a
// buffer of its own and multiplied afterwards.
struct Apart {
  std::string term;
  // Value and derivative of the step's part of the objective as a function of the term's global (weighted)
  // mean; empty: the mean itself.
  std::function<std::pair<double, double>(double mean)> outer = {};
};

// BatchNorm during a call. kBatchOnly: grain statistics, running statistics left alone.
enum class BatchNormMode { kDefault, kTrain, kBatchOnly, kFrozen };

// Another trainable network beside the student (a helper model, a mask, noise): trained by the epochs that
// name it, part of checkpoints. Its passes count in the ledger when it was made so.
class Companion {
 public:
  // Forward pass in the mode of the running call, with gradient where the call trains it.
  models::Tensors operator()(const Batch& b) const;
  models::Tensors operator()(const models::Tensors& inputs) const;  // not counted
  tensor::FlatBuffer& layout() const;                               // its trainable parameters, flat
  models::Model& model() const;

  struct State;  // engine/context_impl.hpp
  explicit Companion(std::shared_ptr<State> state) : state_(std::move(state)) {}
  const std::shared_ptr<State>& state() const { return state_; }

 private:
  std::shared_ptr<State> state_;
};

struct EpochOptions {
  BatchNormMode bn = BatchNormMode::kDefault;  // kDefault: train.bn
  double lr_scale = 1;                         // on top of the schedule
  std::int64_t epoch = -1;                     // drives the step schedule; -1: number of epoch() calls so far
  bool student = true;                         // false: only companions train; no schedule, no clipping
  bool eval = false;                           // the student runs as in evaluation (no dropout)
  std::vector<Companion> companions = {};      // trained in the same steps, each by its own optimiser
  std::vector<Apart> apart = {};
  std::function<bool()> stop = {};  // asked after each step: true ends the pass; the same on every rank
  std::function<void(torch::Tensor& values)>
      after_step;  // map on the flat trainable parameters after each step (salun's restore)
  std::function<void(const torch::Tensor& values, torch::Tensor& gradient)>
      penalty;                                      // adds its gradient once a step
  std::function<void()> companion_after_step = {};  // map on the companions' values after each step
  // Adds the gradient of a penalty on a companion, by its position in `companions`.
  std::function<void(std::size_t companion, torch::Tensor& gradient)> companion_penalty = {};
};

struct EpochResult {
  std::int64_t steps = 0;
  double loss = 0;  // mean over steps of the signed objective
};

// Passes through networks, in samples over all ranks; times the model's Cost they are FLOPs. teacher_forward
// is what the method asks for, whether it is computed or remembered, so that a method's price (and a budget)
// does not depend on memory or on the number of ranks; teacher_kept says apart how many of these passes were
// remembered answers and cost nothing.
struct Ledger {
  double student_forward = 0, student_backward = 0, teacher_forward = 0, teacher_kept = 0;
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
// BatchNorm statistics. Where inputs repeat (Setup::inputs_repeat) it answers about each training sample by
// itself, in a pass of one, and keeps the answer within Setup::teacher_bytes; beyond that it computes it
// anew. An answer then depends on nothing but the sample: neither on what is kept, nor on grains, ranks or
// resumes.
class Teacher {
 public:
  models::Tensors operator()(const Batch& b) const;
  models::Tensors operator()(const Batch& b,
                             const torch::Tensor& rows) const;  // about these rows of it alone

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
  Stream unseen() const;  // samples like D_train that nothing was trained on; may be empty
  Stream mix(const Stream& a, const Stream& b) const;  // concatenation, reshuffled each pass
  // `count` samples of a one-source stream, drawn once without replacement, keyed by (seed, purpose); all of
  // them when it has fewer.
  Stream subset(const Stream& of, std::int64_t count, const std::string& purpose) const;
  // These ids of the training samples, in this order.
  Stream of_ids(const std::string& name, std::vector<std::int64_t> ids) const;
  // Samples of another kind: ids 0..count-1 of `samples`.
  Stream of_samples(const std::string& name, std::int64_t count,
                    std::shared_ptr<const SampleSource> samples) const;
  const SampleSource& samples() const;  // the cell's training samples
  std::int64_t classes() const;         // of the data set; 0 where there are none

  const tasks::Task& task() const;
  models::Tensors student(const Batch& b);  // forward pass in the mode of the running call
  // b with wrong answers for its samples of D_f, keyed by (seed, "relabel", id) and, when redraw, by the
  // pass; and with answers that are better than their own.
  Batch corrupted(const Batch& b, const std::string& mode, bool redraw) const;
  Batch preferred(const Batch& b, bool redraw) const;

  // The student as it is now. It answers with what the task's functions read, and these outputs of the model.
  Teacher freeze(const std::vector<std::string>& outputs = {});
  Teacher random_teacher();  // a fresh initialisation, keyed by (seed, "badinit")
  // Another trainable network. Its values come from its initialize(), keyed by (seed, name). `counted`: its
  // passes cost what the student's cost.
  Companion companion(const std::string& name, std::shared_ptr<models::Model> model,
                      const config::OptimizerOptions& optimizer, bool counted);
  std::shared_ptr<models::Model> new_model() const;  // another network of the student's architecture

  // One pass over the stream: for each step, grains -> terms -> gradient tree -> clip -> optimiser.
  EpochResult epoch(const Stream& stream, const LossFunction& loss, const EpochOptions& options = {});
  // Sum over one pass (in eval mode, no update) of the gradient of the terms' sum-losses, not divided by
  // counts: a flat tensor laid out like values(). Signed: methods take magnitudes afterwards.
  torch::Tensor accumulate(const Stream& stream, const LossFunction& loss);
  // The same for the squared gradients of single samples: sum over samples and terms of (d loss_i / d
  // theta)^2. Every term costs a backward pass.
  torch::Tensor accumulate_squares(const Stream& stream, const LossFunction& loss);
  // A recursion over the steps of one pass in eval mode: `into(state, sum, samples)` sees each step's summed
  // gradient (of that many samples) and changes the state, which is the same on every rank.
  torch::Tensor fold(
      const Stream& stream, const LossFunction& loss, torch::Tensor state,
      const std::function<void(torch::Tensor& state, const torch::Tensor& sum, std::int64_t samples)>& into);
  // Rows of numbers for each sample, in the order of the stream's ids, on every rank: [N, width], float.
  // `rows` sees a grain in eval mode, without gradient. `finish` makes of them what is kept (and returned).
  torch::Tensor gather(const Stream& stream, const std::function<torch::Tensor(const Batch&)>& rows,
                       const std::function<torch::Tensor(torch::Tensor)>& finish = {});
  // Gradients of single samples at these flat indices [w]: [N * terms, w], a sample's terms together. Of
  // linear and convolutional layers one backward pass a grain and term, else one a sample and term.
  torch::Tensor gather_gradients(const Stream& stream, const LossFunction& loss, const torch::Tensor& index,
                                 const std::function<torch::Tensor(torch::Tensor)>& finish = {});
  // A tensor computed once (a mask, noise), the same on every rank; stored in checkpoints.
  torch::Tensor once(const std::string& name, const std::function<torch::Tensor()>& compute);
  // Changes the trainable parameters outside an epoch: skipped when a resumed run has it behind it.
  void update(const std::string& name, const std::function<void(torch::Tensor& values)>& change);
  // A fresh initialisation of the student's trainable parameters and statistics, keyed by (seed, purpose);
  // the optimiser starts anew.
  void reinitialize(const std::string& purpose);

  // Where D_f arrives in several requests, a method runs once for each, from the parameters that the one
  // before left. How many there are, the number of this one, from 0, and tensors that requests leave to later
  // ones (undefined: none has left one of this name).
  std::int64_t requests() const;
  std::int64_t request() const;
  torch::Tensor carried(const std::string& name) const;
  void carry(const std::string& name, const torch::Tensor& value);

  // The trainable parameters, flat; windows of single tensors through layout().
  torch::Tensor& values();
  const tensor::FlatBuffer& layout() const;
  // Standard normal draws for every trainable parameter, keyed by (seed, purpose, tensor, element); padding
  // 0.
  torch::Tensor noise(const std::string& purpose) const;
  struct Head {
    torch::Tensor weight, bias;
  };
  Head head() const;  // the student's classifier; undefined tensors where it has none
  bool is_head(const std::string& tensor) const;  // belongs to the classifier (Model::head_prefix)
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
