// Engine side of the methods' registry: how to run one by name.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "methods/method.hpp"

namespace expunge::models {
class Model;
}

namespace expunge::methods {

struct RunnerEntry {
  std::string name;
  Runner run;                                                  // reads the resolved options and runs
  std::function<config::TrainOptions(config::Reader&)> train;  // the training part of the same options
};

const RunnerEntry* find_runner(const std::string& name);  // null when unknown

// What a method does to the student (and every other network of its architecture) before training: it may add
// parameters. Returns which parameters train.
using Trainable = std::function<bool(const std::string& parameter)>;
using Preparation = std::function<Trainable(config::Reader&, models::Model&, std::uint64_t seed)>;
struct RegisterPreparation {
  RegisterPreparation(const std::string& method, Preparation preparation);
};
// Prepares the model for the method with these resolved options; null where it has nothing to prepare.
Trainable prepare(const std::string& method, const nlohmann::json& options, models::Model& model,
                  std::uint64_t seed);

}  // namespace expunge::methods
