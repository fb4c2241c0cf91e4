// The torch-free registry of model families.
#ifndef EXPUNGE_ENGINE
#include <algorithm>

#include "models/descriptor.hpp"

namespace expunge::models {
namespace {

std::vector<const Descriptor*>& registered() {
  static std::vector<const Descriptor*> all;
  return all;
}

}  // namespace

RegisterDescriptor::RegisterDescriptor(Descriptor descriptor) {
  auto& all = registered();
  all.push_back(new Descriptor(std::move(descriptor)));  // lives as long as the program
  std::sort(all.begin(), all.end(), [](const auto* a, const auto* b) { return a->family < b->family; });
}

const std::vector<const Descriptor*>& descriptors() { return registered(); }

const Descriptor* find_descriptor(const std::string& name) {
  for (const auto* d : registered())
    if (std::find(d->names.begin(), d->names.end(), name) != d->names.end()) return d;
  return nullptr;
}

const Descriptor* find_by_model_type(const std::string& model_type) {
  for (const auto* d : registered())
    if (d->model_type == model_type) return d;
  return nullptr;
}

std::vector<std::string> model_names() {
  std::vector<std::string> out;
  for (const auto* d : registered()) out.insert(out.end(), d->names.begin(), d->names.end());
  return out;
}

}  // namespace expunge::models
#endif
