#include "sweep/profile.hpp"

#include <map>

namespace expunge::sweep {
namespace {

using nlohmann::json;

// The base values of a data set's scripts, and what single methods have instead.
struct Script {
  int epochs, batch;
  double lr, weight_decay;
  std::map<std::string, json> methods;  // method, or method/model family
};

const std::map<std::string, Script>& scripts() {
  static const std::map<std::string, Script> all = {
      {"cifar10",
       {20,
        128,
        1e-5,
        1e-4,
        {{"neggrad", {{"lr", 5e-5}}},
         {"rand_label/resnet", {{"lr", 1e-3}}},
         {"rand_label/swin", {{"lr", 5e-5}}},
         {"bad_t/resnet", {{"lr", 8e-4}}},
         {"bad_t/swin", {{"lr", 5e-4}}},
         {"salun/resnet", {{"lr", 1e-3}}},
         {"salun/swin", {{"lr", 1e-4}}}}}},
      {"cifar100",
       {10,
        128,
        1e-5,
        1e-4,
        {{"neggrad", {{"lr", 5e-5}}},
         {"rand_label", {{"lr", 1e-4}}},
         {"bad_t", {{"lr", 1e-4}}},
         {"salun", {{"lr", 1e-4}}}}}},
      {"imdb", {6, 32, 5e-5, 0, {{"neggrad", {{"epochs", 12}}}, {"bad_t", {{"epochs", 10}, {"lr", 1e-4}}}}}},
      {"ddi", {8, 32, 5e-5, 0, {{"neggrad", {{"epochs", 6}, {"lr", 1e-5}}}, {"bad_t", {{"lr", 5e-4}}}}}},
      {"nlvr2", {6, 32, 1e-5, 0, {}}},
      {"tofu", {5, 16, 1e-5, 0, {}}}};
  return all;
}

}  // namespace

json mubench_settings(const std::string& dataset, const std::string& model, const std::string& method,
                      double ratio) {
  const auto found = scripts().find(dataset);
  if (found == scripts().end()) return nullptr;
  const Script& s = found->second;
  json out = {
      {"schedule", "linear"}, {"warmup", 0.0}, {"clip", 1.0}, {"epochs", s.epochs}, {"batch", s.batch}};
  json optimizer = {{"name", "adamw"}, {"lr", s.lr}, {"weight_decay", s.weight_decay}};
  const std::string family = model.rfind("resnet", 0) == 0 ? "resnet"
                             : model.rfind("swin", 0) == 0 ? "swin"
                                                           : "";
  for (const auto& key : {method, method + "/" + family}) {
    const auto own = s.methods.find(key);
    if (own == s.methods.end()) continue;
    for (const auto& [name, value] : own->second.items()) (name == "lr" ? optimizer : out)[name] = value;
  }
  // The one value that depends on how much is deleted.
  if (dataset == "imdb" && method == "neggrad") optimizer["lr"] = ratio <= 0.02 + 1e-9 ? 1e-5 : 5e-6;
  out["optimizer"] = optimizer;
  return out;
}

std::vector<std::string> mubench_datasets() {
  std::vector<std::string> out;
  for (const auto& [name, unused] : scripts()) out.push_back(name);
  return out;
}

}  // namespace expunge::sweep
