// Inside of Context, shared by context.cpp (calls), step.cpp (one step over the ranks) and journal.cpp
// (checkpoints).
#pragma once

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "comm/ordered_sum.hpp"
#include "core/error.hpp"
#include "engine/context.hpp"
#include "engine/curriculum.hpp"
#include "engine/input_ahead.hpp"
#include "engine/setup.hpp"
#include "engine/student_graph.hpp"
#include "tensor/optimizer.hpp"

namespace expunge {

// One source of the running call.
struct Cursor {
  Source source;
  Position at;
  std::vector<std::int64_t> order;  // of pass `ordered_pass`
  std::int64_t ordered_pass = -1;
};

// The samples of one step, known to every rank.
struct StepPlan {
  std::vector<std::vector<std::int64_t>> ids;   // per source
  std::vector<std::int64_t> passes;             // per source
  std::vector<std::string> sources;             // names, per source
  std::vector<const SampleSource*> samples_of;  // per source; null: the cell's training samples
  std::vector<Grain> grains;
  std::int64_t samples = 0;
  std::optional<GrainSamples> following;  // this rank's first grain of the next step, where it is read ahead

  GrainSamples samples_in(std::size_t grain) const;
};

// What a step does with its terms: the gradient of their means over the step (epochs), or of their sums, or
// the sum of squared gradients of single samples (folds).
struct StepMode {
  enum Kind { kMeans, kSums, kSquares } kind = kMeans;
  bool record_statistics = false;
};

// What a grain leaves in a leaf of the tree sum: the gradient of everything that trains (the student, then
// the companions), the gradients of terms apart, and the BatchNorm statistics of what trains.
struct LeafLayout {
  bool student = true;
  std::vector<std::shared_ptr<Companion::State>> companions = {};
  std::vector<models::BatchNorm*> norms = {};
  std::vector<Apart> apart = {};
  std::int64_t gradient = 0, statistics = 0;  // floats
  bool sliced = false;                        // every rank finishes the step for its slice of the student
  bool in_parts = false;                      // the gradient is summed while the last grain's arrives
  std::int64_t size() const { return gradient * (1 + std::ssize(apart)) + statistics; }
  std::int64_t statistics_at() const { return size() - statistics; }
};

inline constexpr std::size_t kMostApart = 4;

// What a grain reports beside its gradient; every rank adds it up in grain order.
struct GrainReport {
  double objective = 0, student = 0, backward = 0, teacher = 0, kept = 0;
  std::array<std::array<double, 2>, kMostApart> apart{};  // sum and count of each term apart
  std::array<LossSums, kMostTerms> losses;                // where a curriculum is active
};

// Sums of an epoch so far, and its last step's norm of the gradient and factor of the learning rate.
struct EpochSums {
  std::int64_t steps = 0;
  double objective = 0, norm = 0, factor = 0;
  bool stopped = false;
};

// The first error of a rank's grains; empty when there was none.
struct Failure {
  std::string problem;
  int code = kExitInternal;
};

struct StepOutcome {
  double objective = 0;
  int poll = 0;  // kPoll bits of all ranks
  // Laid out like a leaf, terms apart already added to the gradient; where the layout is sliced, this rank's
  // slice of it alone.
  const float* sum = nullptr;
};

struct Context::Impl {
  explicit Impl(Setup s);

  Setup setup;
  std::vector<std::uint8_t> forget_member;  // by sample id
  tensor::Optimizer optimizer;
  Curriculum curriculum;
  LeafLayout layout;                                                   // of the running call
  std::map<std::int64_t, std::unique_ptr<comm::OrderedSum>> reducers;  // by leaf size
  comm::OrderedSum* reducer = nullptr;                                 // of the running call
  std::map<float*, torch::Tensor> leaves;                              // tensors over the reducers' buffers
  std::vector<tensor::GradientSink::Part> parts;              // of a gradient that is summed in parts
  std::unique_ptr<InputAhead> ahead;                          // null: grains are read when they run
  std::unique_ptr<StudentGraphs> graphs;                      // null: nothing is captured
  std::vector<std::shared_ptr<Companion::State>> companions;  // in order of creation
  std::optional<store::Checkpoint> resumed;     // companions take their state out of it when they are made
  std::optional<bool> layers_cover_parameters;  // per-sample gradients can be taken from layers' inputs

  // Where the run stands.
  std::int64_t global_step = 0, schedule_step = 0, epochs_done = 0;
  bool modified = false;  // parameters differ from the start
  std::map<std::string, std::int64_t> passes;
  RunReport report;
  std::chrono::steady_clock::time_point clock;  // since the last time `report.seconds` was brought up to date

  // The journal. calls[k] describes finished call k; tensors that calls returned lie in `kept`.
  nlohmann::json calls = nlohmann::json::array();
  std::map<std::string, torch::Tensor> kept;
  std::int64_t next_call = 0;
  nlohmann::json interrupted;     // state of the call that a checkpoint found running; null otherwise
  torch::Tensor interrupted_sum;  // its partial sum (accumulate)
  torch::Tensor start_values, start_buffers, start_frozen;  // kept while a resumed run replays its journal
  std::int64_t checkpoints = 0;

  // Counted while a grain runs.
  double grain_student = 0, grain_teacher = 0, grain_backward = 0;
  double grain_graphs = 0;  // student passes that a backward pass goes through
  double grain_kept = 0;    // teacher passes that were remembered
  // Values that grains have computed and nobody has waited for, and where they are added once all grains ran.
  std::vector<std::pair<double*, torch::Tensor>> unread;
  models::Tensors grain_inputs;  // of the training samples of the running grain; empty: of other samples

  // step.cpp
  void open_layout(const EpochOptions& options);
  StepPlan next_step(std::vector<Cursor>& cursors) const;
  StepPlan take_samples(std::vector<Cursor>& cursors) const;
  std::optional<GrainSamples> first_of_next(std::vector<Cursor> cursors) const;
  void look_ahead(const StepPlan& plan, std::size_t next);
  void read_later(double& into, const torch::Tensor& value);
  void read_values();
  bool may_overlap(const EpochOptions& options) const;
  void cut_parts();
  bool call_over(const std::vector<Cursor>& cursors) const;
  StepOutcome run_step(const StepPlan& plan, const LossFunction& loss, StepMode mode);
  void run_grain(const StepPlan& plan, std::size_t grain, const LossFunction& loss, StepMode mode,
                 GrainReport& report);
  Batch load_grain(const StepPlan& plan, std::size_t grain);
  torch::Tensor weigh(const Term& term, std::size_t index, const Batch& b, const std::string& source,
                      double scale, GrainReport& grain);

  torch::Tensor apart_sum(const Term& term, const Batch& b, std::array<double, 2>& sums);
  void combine(const std::vector<GrainReport>& grains, StepOutcome& out);

  // per_sample.cpp
  double add_squares(const LossFunction& loss, const Batch& b, torch::Tensor into);
  bool add_squares_by_layer(const LossFunction& loss, const Batch& b, torch::Tensor into, double& value);
  // Gradients of the samples of a grain at these flat indices [w]: [n, terms, w]. Nothing where they cannot
  // be taken from layers' inputs.
  std::optional<torch::Tensor> gradients_by_layer(const LossFunction& loss, const Batch& b,
                                                  const torch::Tensor& index);
  void forget_grain();  // what the grain has counted so far

  // optimizer_step.cpp
  void check_finite(const char* what, double value) const;  // ends the run as diverged
  bool may_slice(const EpochOptions& options) const;
  void take_step(const EpochOptions& options, std::int64_t epoch, const torch::Tensor& leaf, EpochSums& at);
  void take_sliced_step(double lr_scale, std::int64_t epoch, const torch::Tensor& leaf, EpochSums& at);
  double sliced_norm(const torch::Tensor& gradient, std::int64_t first, std::int64_t last);
  void gather_optimizer();
  comm::OrderedSum* scattered =
      nullptr;  // whose slices of the optimiser's state the ranks hold; null: all of it

  // step_reports.cpp
  StepOutcome exchange(const StepPlan& plan, int poll, const Failure& failure,
                       const std::vector<GrainReport>& mine, std::vector<GrainReport>& all);
  static std::vector<std::vector<LossSums>> losses_of(const StepPlan& plan,
                                                      const std::vector<GrainReport>& grains);
  void start_curriculum(const StepPlan& plan, const LossFunction& loss);

  // step.cpp, the rest
  void set_mode(BatchNormMode mode, bool training);
  std::vector<torch::nn::Module*> frozen_modules;  // of which no parameter is trained, when only fusion is
  void bind_statistics(const torch::Tensor& statistics);
  // Calls `body` for the parameters of the student and of the companions that train, as leaves lay them out.
  template <class Body>
  void for_each_trained(const Body& body);
  void open_sinks(const torch::Tensor& slot, tensor::GradientSink::Write how);
  void close_sinks();
  void backward(std::vector<torch::Tensor>& sums, const torch::Tensor& leaf, tensor::GradientSink::Write how,
                std::int64_t samples);
  std::vector<torch::Tensor> weighed_terms(const StepPlan& plan, const Batch& b, const LossFunction& loss,
                                           StepMode mode, GrainReport& grain);
  void update_running_statistics(const float* statistics);
  torch::Tensor leaf_tensor(float* buffer);
  models::Tensors forward(models::Model& model, const Batch& b) const;
  models::Tensors forward_student(const Batch& b);

  std::int64_t kept_bytes = 0;  // of all teachers' answers

  // journal.cpp
  // The entry of a finished call of this kind, when a resumed run has it behind it.
  const nlohmann::json* replayed(const char* kind);
  bool replaying() const { return next_call < static_cast<std::int64_t>(calls.size()); }
  void restore(const store::Checkpoint& checkpoint);
  void restore_companion(Companion::State& companion);
  void save(const nlohmann::json& running, const torch::Tensor& partial_sum);
  void after_step(int poll, const std::function<nlohmann::json()>& running, const torch::Tensor& partial_sum);
  void finish_call(nlohmann::json entry);
  void bring_time_up_to_date();

  std::vector<Cursor> open_cursors(const Stream& stream);
  void close_cursors(const std::vector<Cursor>& cursors);
  bool budget_spent() const;
};

nlohmann::json cursors_to_json(const std::vector<Cursor>& cursors);
void cursors_from_json(const nlohmann::json& saved, std::vector<Cursor>& cursors);

struct Companion::State {
  std::string name;
  std::shared_ptr<models::Model> model;
  std::unique_ptr<tensor::FlatParameters> parameters;
  std::unique_ptr<tensor::Optimizer> optimizer;
  bool counted = false;
  Context::Impl* run = nullptr;
};

template <class Body>
void Context::Impl::for_each_trained(const Body& body) {
  if (layout.student) body(*setup.parameters);
  for (const auto& companion : layout.companions) body(*companion->parameters);
}

// Parameters without requires_grad while it lives.
class WithoutGradients {
 public:
  WithoutGradients(models::Model& model, bool apply);
  ~WithoutGradients();
  WithoutGradients(const WithoutGradients&) = delete;
  WithoutGradients& operator=(const WithoutGradients&) = delete;

 private:
  std::vector<torch::Tensor> switched_;
};

// Only what the running call trains has gradients while it lives; the other companions are in eval mode.
class OnlyTrained {
 public:
  // `statistics`: what trains normalises by grain statistics, which are recorded.
  explicit OnlyTrained(Context::Impl& run, bool statistics = false);

 private:
  WithoutGradients student_;
  std::vector<std::unique_ptr<WithoutGradients>> others_;
};

struct Teacher::State {
  std::shared_ptr<models::Model> model;
  std::unique_ptr<tensor::FlatParameters> parameters;
  Context::Impl* run = nullptr;
  std::vector<std::string> read;  // outputs that are kept

  models::Tensors about(const Batch& b, const Batch& whole);  // b: rows of `whole`, counted
  models::Tensors answer(const Batch& b) const;               // one pass over the batch
  models::Tensors answers_by_sample(const Batch& b);          // remembered, or a pass of one sample each
  std::map<std::int64_t, models::Tensors> known;              // by sample id
};

}  // namespace expunge
