// Engine side of the methods' registry: how to run one by name.
#pragma once

#include <functional>
#include <string>

#include "methods/method.hpp"

namespace expunge::methods {

struct RunnerEntry {
  std::string name;
  Runner run;                                                  // reads the resolved options and runs
  std::function<config::TrainOptions(config::Reader&)> train;  // the training part of the same options
};

const RunnerEntry* find_runner(const std::string& name);  // null when unknown

}  // namespace expunge::methods
