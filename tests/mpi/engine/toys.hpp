// Toy models, samples and a harness that runs a method on them through the real engine.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/requests.hpp"
#include "engine/setup.hpp"

namespace expunge::test {

// Samples with fixed inputs: row i of `input` (named `name` for the model) and label i. Records which samples
// were loaded.
class Rows : public SampleSource {
 public:
  Rows(std::string name, torch::Tensor input, torch::Tensor labels)
      : name_(std::move(name)), input_(std::move(input)), labels_(std::move(labels)) {}
  void load(const std::vector<std::int64_t>& ids, std::int64_t pass, Batch& into) const override;
  const torch::Tensor& input() const { return input_; }
  const torch::Tensor& labels() const { return labels_; }

  mutable std::vector<std::vector<std::int64_t>> loaded;  // one entry a grain

 private:
  std::string name_;
  torch::Tensor input_, labels_;
};

// A small network whose parameters are drawn N(0, 1) * scale (BatchNorm: 1 and 0).
using MakeModel = std::function<std::shared_ptr<models::Model>()>;
MakeModel quad(std::vector<float> start);                     // loss 1/2 |theta - a_i|^2, theta in R^2
MakeModel logit(std::int64_t samples, std::int64_t classes);  // each sample's logits are parameters
MakeModel mlp(double dropout = 0);                            // 2 -> 16 -> 2, ReLU
// 3x3 convolution, BatchNorm, ReLU, pooling, linear: 1x6x6 -> 3
MakeModel conv_net(double dropout = 0, std::int64_t channels = 4);

std::unique_ptr<tasks::Task> quad_task();
// The task with its loss (not its divergence) multiplied.
std::unique_ptr<tasks::Task> scaled(std::unique_ptr<tasks::Task> task, double factor);

// What a run starts from. Parameters come from `start` where it is defined, else from the initialiser.
struct Toy {
  MakeModel make;
  std::shared_ptr<const tasks::Task> task;
  std::shared_ptr<const Rows> samples;
  std::vector<std::int64_t> forget, retain, unseen;
  std::int64_t classes = 0;
  nlohmann::json options = nlohmann::json::object();  // of the method
  std::int64_t grain = 4;
  std::uint64_t seed = 42;
  torch::Tensor start;  // flat trainable parameters
  std::function<void(StepView&)> inspect;
  std::function<bool(const std::string&)> trainable = [](const std::string&) { return true; };

  bool eval_frozen = false;
  models::Cost cost;
  double budget_flops = 0;
  std::uint64_t run_seed = 0;  // of the run's own draws; 0: `seed`, which the start has
  bool inputs_repeat = false;
  std::int64_t teacher_bytes = 0;
  std::function<void(Context::Setup&)> change;  // of the setup, at its end

  Toy with(nlohmann::json changes) const;  // the same with other options
};

Toy quad_toy(std::vector<std::vector<float>> targets, std::vector<std::int64_t> forget,
             std::vector<std::int64_t> retain, std::vector<float> start);
Toy logit_toy(std::int64_t samples, std::int64_t classes, std::vector<std::int64_t> forget);
// Two classes in the plane, separable; D_f is a cluster of its own. Both have kUnseen samples more that
// belong to neither set.
inline constexpr std::int64_t kUnseen = 7;
Toy mlp_toy(std::int64_t forget, std::int64_t retain, double dropout = 0);
Toy conv_toy(std::int64_t forget, std::int64_t retain, double dropout = 0);

// Edges of a graph of 48 nodes, of two kinds, with words that tell their labels; a small GCN.
Toy graph_toy(std::int64_t forget, std::int64_t retain);
// Texts of a prompt and an answer over twelve tokens, and a language model of one layer.
Toy language_toy(std::int64_t forget, std::int64_t retain);

struct ToyResult {
  std::string hash;             // of parameters and buffers
  torch::Tensor values, start;  // flat trainable parameters after and before
  torch::Tensor buffers, start_buffers;
  torch::Tensor frozen, start_frozen;  // undefined when everything trains
  RunReport report;
  bool interrupted = false;
  store::Checkpoint checkpoint;  // of an interrupted run, on every rank
  tensor::FlatBuffer layout;
  std::vector<std::shared_ptr<models::Model>> teachers;  // every other network that the run made
};

// Collective over `comm`. Runs a registered method. `stop_after` > 0: a signal after so many steps.
ToyResult run_method(const std::string& method, const Toy& toy, comm::Communicator& comm,
                     std::int64_t stop_after = 0, const store::Checkpoint* resume = nullptr);
// The same with D_f arriving in requests; `run`: what they left. Measured accuracies are made up.
ToyResult run_requested(const std::string& method, const Toy& toy, const std::vector<Request>& requests,
                        comm::Communicator& comm, RequestsRun& run, std::int64_t stop_after = 0,
                        const store::Checkpoint* resume = nullptr);
// The same for any program over a Context, in the place of a method.
using Program = std::function<Outcome(Context&)>;
ToyResult run_program(const Program& program, const Toy& toy, comm::Communicator& comm);
// The logits of a Logit toy of four classes: [samples, 4].
torch::Tensor logit_rows(const torch::Tensor& values, const Toy& toy);
// The method's plan for the toy's sizes and options.
std::vector<methods::Phase> plan_of(const std::string& method, const Toy& toy);

// Mean task loss of the toy's model with these parameters over the samples, eval mode (BatchNorm: fresh
// running statistics).
// `method`: the one that left these values, where it adds parameters.
double mean_loss(const Toy& toy, const torch::Tensor& values, const std::vector<std::int64_t>& ids,
                 const std::string& method = {});

// Mean divergence from the starting network, in the same way.
double mean_divergence(const Toy& toy, const torch::Tensor& values, const std::vector<std::int64_t>& ids,
                       double temperature);

// Collective. The checkpoint of rank 0, on every rank.
void share(store::Checkpoint& checkpoint, comm::Communicator& comm);

comm::Communicator& alone();  // a communicator of one rank

}  // namespace expunge::test
