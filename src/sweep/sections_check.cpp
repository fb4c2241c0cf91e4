// What is wrong with the sections of a job whatever the axes say: unknown names, and keys that no cell reads.
#include <fmt/format.h>

#include <algorithm>

#include "core/text.hpp"
#include "sweep/axes.hpp"
#include "sweep/sections.hpp"

namespace expunge::sweep {
namespace {

const std::vector<std::string> kSections = {"sweep",  "data", "original", "train",   "method", "evaluate",
                                            "budget", "comm", "run",      "dataset", "model",  "profile"};

}  // namespace

void Sections::check_subsections(const config::Section& prefix) {
  const auto at = [&](const std::string& section) {
    auto path = prefix;
    path.push_back(section);
    return path;
  };
  const auto reader = [&](const std::string& section) {
    return config::Reader(join(at(section), "."), job_.layers({at(section)}), problems_);
  };
  for (const char* recipe : {"train", "original"}) {
    auto in = reader(recipe);
    config::read_train_options(in, {});
    in.finish(std::string(recipe) == "original" ? std::vector<std::string>{"seed"}
                                                : std::vector<std::string>{});
  }
  auto data = reader("data");
  data::read_data_options(data);
  data.finish();
  read_evaluate(job_.layers({at("evaluate")}));
  read_budget(job_.layers({at("budget")}));
  for (const auto& name : job_.names(at("method"))) {
    auto path = at("method");
    path.push_back(name);
    if (!methods::find_descriptor(name))
      problems_.add(job_.find(path)->at, join(path, "."),
                    fmt::format("unknown method{}", did_you_mean(name, methods::descriptor_names())));
  }
  if (prefix.empty()) return;
  if (const auto* node = job_.find(at("original")); node && node->children.count("seed"))
    problems_.add(node->children.at("seed").at, join(at("original"), ".") + ".seed",
                  "the seed is an axis: set it in [original]");
  if (const auto* node = job_.find(at("evaluate")); node && node->children.count("metrics"))
    problems_.add(node->children.at("metrics").at, join(at("evaluate"), ".") + ".metrics",
                  "all cells have the same metrics: set them in [evaluate]");
  if (prefix[0] != "model") return;
  read_model(prefix[1]);
}

void Sections::check_names(const std::vector<std::string>& datasets,
                           const std::vector<std::string>& methods) {
  for (const auto& section : job_.names({})) {
    const config::Node* node = job_.find({section});
    if (!contains(kSections, section))
      problems_.add(node->at, section, fmt::format("unknown section{}", did_you_mean(section, kSections)));
    else if (!node->is_table)
      problems_.add(node->at, section,
                    fmt::format("expected a section [{}], got {}", section, node->value.dump()));
  }
  check_subsections({});
  for (const auto& name : job_.names({"dataset"})) {
    if (!known_dataset(job_, name)) {
      problems_.add(job_.find({"dataset", name})->at, "dataset." + name,
                    fmt::format("unknown data set{}; give it a reader if it is one of your own",
                                did_you_mean(name, data::reader_names())));
      continue;
    }
    check_subsections({"dataset", name});
    if (!contains(datasets, name)) read_dataset(name);
  }
  for (const auto& name : job_.names({"model"})) {
    if (known_model(job_, name) || written_models_.count(name))
      check_subsections({"model", name});
    else
      problems_.add(job_.find({"model", name})->at, "model." + name,
                    fmt::format("unknown model{}; give it a path if it is one of your own",
                                did_you_mean(name, models::model_names())));
  }
  for (const auto& name : job_.names({"method"})) {
    const auto* descriptor = methods::find_descriptor(name);
    if (!descriptor || contains(methods, name)) continue;
    method(Base{}, *descriptor, {.forget = 100, .retain = 900, .classes = 10});
  }
}

}  // namespace expunge::sweep
