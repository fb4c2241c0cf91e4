// What a model is for: the per-sample loss, the divergence between two models' outputs, and label corruption.
// Methods only see this interface, so one method serves every task that defines what it needs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/rng.hpp"
#include "models/torch/model.hpp"
#include "tensor/torch.hpp"

namespace expunge {

// One grain of one stream, on the device.
struct Batch {
  // What the model's forward takes: [n, ...] each, but for a graph that all samples share ("graph.NAME").
  models::Tensors inputs;
  torch::Tensor labels;           // [n] int64; of a language model [n, tokens]
  torch::Tensor is_forget;        // [n] float, 1 where the sample belongs to D_f
  std::vector<std::int64_t> ids;  // sample ids, host
  std::size_t source = 0;         // which source of the stream (0 except in zip)
  std::int64_t pass = 0;          // pass number of that source
  std::int64_t size() const { return static_cast<std::int64_t>(ids.size()); }
};

// These rows of b (an index tensor on its device).
Batch rows_of(const Batch& b, const torch::Tensor& rows);

namespace tasks {

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string name() const = 0;
  virtual std::int64_t classes() const = 0;                   // of its outputs; 0 where that means nothing
  virtual std::int64_t outputs() const { return classes(); }  // size of one output distribution
  // Adds to a forward pass's outputs what the functions below read beside them.
  virtual void complete(models::Tensors& outputs, const Batch& b) const { (void)outputs, (void)b; }
  // Outputs of a model that the functions below read.
  virtual std::vector<std::string> reads() const { return {"logits"}; }
  // True where another answer makes another input, so that both need a pass of their own (language models).
  virtual bool answers_are_inputs() const { return false; }
  // Loss of each sample [n], float, weighted by class where the task does that, positive meaning, for these
  // targets (b.labels or corrupted ones).
  virtual torch::Tensor loss(const models::Tensors& outputs, const torch::Tensor& targets) const = 0;
  // Knowledge-distillation divergence of each sample [n]: T^2 KL(softmax(teacher / T) || softmax(student /
  // T)); the gradient flows into `student` only. Computed from log-softmax in float.
  virtual torch::Tensor divergence(const models::Tensors& teacher, const models::Tensors& student,
                                   double temperature = 1) const = 0;
  // Summed negative log-likelihood of each sample's target [n]: over all positions where loss() takes their
  // mean, the same as loss() without weights where there is one.
  virtual torch::Tensor negative_log_likelihood(const models::Tensors& outputs,
                                                const torch::Tensor& targets) const {
    return loss(outputs, targets);
  }
  // Share of each sample's positions [n] where the likeliest output is the target; ties go to the lowest
  // index.
  virtual torch::Tensor correct(const models::Tensors& outputs, const torch::Tensor& targets) const = 0;
  // The outputs with `penalty` taken off the target's logit at each position, detached: what a teacher knows
  // besides the true answer. An infinite penalty removes the target from the distribution.
  virtual models::Tensors without_target(const models::Tensors& outputs, const torch::Tensor& targets,
                                         double penalty) const = 0;
  // Wrong targets for the samples of D_f in b, keyed by sample id; the others keep theirs. Modes:
  // uniform_other, uniform_all, plus_one.
  virtual torch::Tensor corrupt(const Batch& b, const std::string& mode, const Rng& rng) const = 0;
  // The batch with these targets, and with the inputs that go with them.
  virtual Batch corrupted(const Batch& b, const std::string& mode, const Rng& rng) const;
  // The batch with an answer for D_f that is better than its own: another class, a refusal.
  virtual Batch preferred(const Batch& b, const Rng& rng) const;
  // Targets drawn from the outputs' own distributions, keyed by sample id.
  virtual torch::Tensor drawn(const models::Tensors& outputs, const Batch& b, const Rng& rng) const;

  // What evaluation keeps of each sample, [n, summary_width()] float: the logits; of a language model the
  // numbers of metrics::Outputs::answers.
  virtual std::int64_t summary_width() const { return classes(); }
  virtual torch::Tensor summary(const models::Tensors& outputs, const Batch& b) const;
};

// Cross-entropy on "logits" [n, classes]; a sample's loss is multiplied by its target's weight (empty: 1).
std::unique_ptr<Task> make_classification(std::int64_t classes, const std::vector<double>& weights = {});

}  // namespace tasks
}  // namespace expunge
