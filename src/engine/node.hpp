// Parts shared by originals and cells: the model on its device, its data, a Context over both, and the facts
// a record carries.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "core/progress.hpp"
#include "data/split.hpp"
#include "engine/cell.hpp"
#include "engine/context.hpp"
#include "engine/sample_source.hpp"
#include "engine/workbench.hpp"
#include "models/folder.hpp"
#include "models/trainable.hpp"

namespace expunge {

// Everything a node needs before its program starts.
struct Node {
  Node(Workbench& bench, comm::Communicator& comm, const std::string& id, const std::string& dataset,
       const std::string& model, const nlohmann::json& settings, const data::Ratio& ratio);

  // Collective. The weights of the folder that the job's model starts from, into the initialised model.
  void load_start();
  // On rank 0. The model, with the vocabulary that its texts were cut with, as a Hugging Face folder. False
  // for one with adapters.
  bool export_model(const std::filesystem::path& folder, const std::string& parameter_hash) const;
  // Moves the (already initialised or loaded) model into flat buffers and reads the newest checkpoint, if
  // there is one.
  Context::Setup setup(const config::TrainOptions& train, std::uint64_t seed, std::int64_t total_steps);
  // Makes `train_samples` anew for a D_f and a D_r: a graph is made of what is retained.
  void take_samples(const std::vector<std::int64_t>& forget, const std::vector<std::int64_t>& retain);
  // Samples of one side as the model takes them; augmented under this seed.
  std::unique_ptr<SampleSource> samples_of(data::Side side, std::uint64_t seed);
  // Collective. Logits of the model on one side (or what else the task keeps), complete on rank 0.
  metrics::Outputs outputs(models::Model& of, data::Side side, const std::vector<std::int64_t>& ids);
  // Collective. The parameter hash; InternalError when ranks disagree.
  std::string agreed_hash();
  // Collective. Provenance, timing and costs; complete on rank 0.
  void describe(store::Record& record, const RunReport& report, const config::TrainOptions& train,
                std::uint64_t seed);

  Workbench& bench;
  comm::Communicator& comm;
  std::string id;
  const data::Dataset& dataset;
  data::DataOptions data_options;
  data::Splits splits;
  models::Chosen start;
  const models::Descriptor& descriptor;
  nlohmann::json model_config;
  models::Trainable trainable;
  models::Cost cost, eval_cost;  // of a sample: with what the run trains, in evaluation
  models::Tensors graph;         // of the retained edges, where samples are edges
  std::int64_t eval_grain = 64;
  std::shared_ptr<models::Model> model;
  std::shared_ptr<tensor::FlatParameters> parameters;
  // What the method does to networks of the student's architecture before training; null: nothing.
  std::function<std::function<bool(const std::string&)>(models::Model&)> prepare;
  std::unique_ptr<tasks::Task> task;
  std::unique_ptr<SampleSource> train_samples;
  std::unique_ptr<Progress> progress;
  std::vector<store::Segment> segments;
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now(), saved = started;
  double comm_before = 0, load_seconds = 0, eval_seconds = 0, evaluated = 0;  // evaluated: samples
  std::string reduction = "ordered";
  std::int64_t grain = 0;
  std::uint64_t sample_seed = 0;  // of the training samples' augmentation
};

}  // namespace expunge
