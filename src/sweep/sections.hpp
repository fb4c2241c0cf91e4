// The sections of a job as one (data set, model, method) sees them. Later sections win:
//   [S] < [dataset.X.S] < [model.Y.S], for a method's options [train] < [dataset.X.train] < [model.Y.train] <
//   [method.M] < [dataset.X.method.M] < [model.Y.method.M], and --set over all of them in the same order.
// A method that starts from scratch has the resolved [original] in the place of [train].
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "config/job.hpp"
#include "config/train_options.hpp"
#include "data/dataset.hpp"
#include "data/split.hpp"
#include "methods/method.hpp"
#include "models/trainable.hpp"
#include "sweep/sweep.hpp"

namespace expunge::sweep {

// What may stand below [dataset.X] and [model.Y].
inline const std::vector<std::string> kOverridableSections = {"data",   "original", "train",
                                                              "method", "evaluate", "budget"};

inline bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Settings and prices shared by the cells of one data set and model.
struct Base {
  std::string dataset, model;
  bool usable = false;  // false: a problem was reported, nothing may be computed from it
  data::Info info;
  data::DataOptions data_options;
  nlohmann::json dataset_options, data, original, evaluate, budget;  // resolved sections
  nlohmann::json model_options;                                      // {} for a registered size alone
  nlohmann::json requests;                                           // of [data], which is without them
  config::Node original_node =
      config::node_from_json(nlohmann::json::object());  // resolved [original], as a layer
  config::TrainOptions original_train;
  const models::Descriptor* descriptor = nullptr;  // with its config.json; null when unusable
  nlohmann::json model_config;
  models::Cost cost;  // of one sample, all parameters trained
  std::int64_t parameters = 0;
  bool has_batch_norm = false;
};

// A method's options for a Base and what it would do at a ratio.
struct MethodPlan {
  nlohmann::json options;  // resolved
  double flops = 0;
  std::int64_t steps = 0;
};

class Sections {
 public:
  // `models`: what stands in the place of names on the model axis, by name.
  Sections(const config::Job& job, config::Diagnostics& problems,
           const std::map<std::string, nlohmann::json>& models = {})
      : job_(job), problems_(problems) {
    for (const auto& [name, options] : models) written_models_[name] = config::node_from_json(options);
  }

  // Names of sections, and the keys of those that no cell reads. Arguments: what is on the axes.
  void check_names(const std::vector<std::string>& datasets, const std::vector<std::string>& methods);
  // `dataset_at` and `model_at`: where the names stand in [sweep].
  Base base(const std::string& dataset, const std::string& model, const config::Position& dataset_at,
            const config::Position& model_at);
  MethodPlan method(const Base& base, const methods::Descriptor& method, const methods::Sizes& sizes);
  std::vector<std::string> metrics();
  bool follows_mubench();                   // [profile] mubench
  std::string reduction(RunSettings& run);  // [comm]; its `topology` goes to `run`
  RunSettings run_settings();
  void throw_if_missing() const;  // DataError 66: a data set whose size only its files tell is not there
  const config::Job& job() const { return job_; }
  config::Diagnostics& problems() { return problems_; }

 private:
  std::vector<const config::Node*> layers(const std::string& section, const std::string& dataset,
                                          const std::string& model) const;
  std::vector<const config::Node*> method_layers(const Base& base, const methods::Descriptor& method) const;
  models::Cost cost_of(const Base& base, const methods::Descriptor& method, config::Reader& in);
  void check_subsections(const config::Section& prefix);
  nlohmann::json read_dataset(const std::string& dataset);
  nlohmann::json read_model(const std::string& model);
  void take_tokenizer(Base& base);
  // A place that the job names: relative to its own folder, if something is there.
  std::string beside_job(const std::string& path) const;
  nlohmann::json read_evaluate(const std::vector<const config::Node*>& layers);
  void resolve_transfer(Base& base);
  nlohmann::json read_budget(const std::vector<const config::Node*>& layers);
  void read_original(Base& base);
  void read_info(Base& base, const config::Position& dataset_at);
  void price_model(Base& base, const config::Position& model_at);

  const config::Job& job_;
  config::Diagnostics& problems_;
  std::map<std::string, config::Node> written_models_;
  std::map<std::string, std::string> weights_;  // hashes of models' folders, each taken once
  std::string missing_;
};

}  // namespace expunge::sweep
