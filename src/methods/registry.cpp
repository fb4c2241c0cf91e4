// The registries of methods. The torch-free library holds the descriptors, the engine the runners: this file
// is compiled into both, and no symbol is defined twice.
#include <algorithm>
#include <deque>
#include <map>

#include "core/error.hpp"
#include "methods/method.hpp"
#include "methods/runner_registry.hpp"

namespace expunge::methods {

#ifdef EXPUNGE_ENGINE

namespace {

// A function-local object exists before the first static registration, in whatever order files are
// initialised.
std::deque<RunnerEntry>& runners() {
  static std::deque<RunnerEntry> all;
  return all;
}

}  // namespace

RegisterRunner::RegisterRunner(std::string name, Runner runner,
                               std::function<config::TrainOptions(config::Reader&)> train) {
  EXPUNGE_CHECK(find_runner(name) == nullptr, "runner {} is registered twice", name);
  EXPUNGE_CHECK(find_descriptor(name) != nullptr, "runner {} has no descriptor", name);
  runners().push_back({std::move(name), std::move(runner), std::move(train)});
}

const RunnerEntry* find_runner(const std::string& name) {
  for (const auto& entry : runners())
    if (entry.name == name) return &entry;
  return nullptr;
}

namespace {

std::map<std::string, Preparation>& preparations() {
  static std::map<std::string, Preparation> all;
  return all;
}

}  // namespace

RegisterPreparation::RegisterPreparation(const std::string& method, Preparation preparation) {
  preparations()[method] = std::move(preparation);
}

Trainable prepare(const std::string& method, const nlohmann::json& options, models::Model& model,
                  std::uint64_t seed) {
  const auto found = preparations().find(method);
  if (found == preparations().end()) return nullptr;
  config::Diagnostics problems;
  auto in = config::Reader::resolved("method." + method, options, problems);
  auto trainable = found->second(in, model, seed);
  problems.throw_if_any();
  return trainable;
}

#else

namespace {

struct Registry {
  std::deque<Descriptor> owned;  // a deque keeps addresses when it grows
  std::vector<const Descriptor*> sorted;
};

// A function-local object exists before the first static registration, in whatever order files are
// initialised.
Registry& registry() {
  static Registry all;
  return all;
}

}  // namespace

RegisterDescriptor::RegisterDescriptor(Descriptor descriptor) {
  EXPUNGE_CHECK(find_descriptor(descriptor.name) == nullptr, "method {} is registered twice",
                descriptor.name);
  EXPUNGE_CHECK(descriptor.plan != nullptr, "method {} has no plan", descriptor.name);
  auto& [owned, sorted] = registry();
  const Descriptor* added = &owned.emplace_back(std::move(descriptor));
  const auto by_name = [](const Descriptor* a, const Descriptor* b) { return a->name < b->name; };
  sorted.insert(std::upper_bound(sorted.begin(), sorted.end(), added, by_name), added);
}

const std::vector<const Descriptor*>& descriptors() { return registry().sorted; }

const Descriptor* find_descriptor(const std::string& name) {
  for (const Descriptor* descriptor : descriptors())
    if (descriptor->name == name) return descriptor;
  return nullptr;
}

std::string describe(Need need) {
  switch (need) {
    case Need::kLabels:
      return "class labels";
    case Need::kTargets:
      return "right answers: classes or tokens";
    case Need::kPairs:
      return "image-caption pairs";
    case Need::kImages:
      return "inputs with pixels";
    case Need::kUnseen:
      return "unseen samples (data.val_fraction)";
    case Need::kWholeClasses:
      return "whole classes to forget (data.unit = \"class\")";
    case Need::kWholeEdges:
      return "whole edges of a graph to forget (data.unit = \"edge\")";
    case Need::kPreferredAnswer:
      return "an answer to prefer to D_f's own";
    case Need::kHead:
      return "a linear classifier on pooled features";
  }
  return "";
}

std::vector<std::string> descriptor_names() {
  std::vector<std::string> names;
  for (const Descriptor* descriptor : descriptors()) names.push_back(descriptor->name);
  return names;
}

#endif

}  // namespace expunge::methods
