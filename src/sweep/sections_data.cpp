// [dataset.NAME] and [model.NAME]: what a data set and a model are, and whether they go together.
#include <fmt/format.h>

#include <cstdlib>
#include <tuple>

#include "core/error.hpp"
#include "core/text.hpp"
#include "data/text_samples.hpp"
#include "models/folder.hpp"
#include "models/input_kind.hpp"
#include "sweep/sections.hpp"

namespace expunge::sweep {

using nlohmann::json;

json Sections::read_dataset(const std::string& dataset) {
  config::Reader in("dataset." + dataset, job_.layers({{"dataset", dataset}}), problems_);
  auto options = data::read_dataset_options(in);
  in.finish(kOverridableSections);
  if (const auto name = options.value("tokenizer", "");
      !name.empty() && name != data::kWords && name != data::kBytes)
    options["tokenizer"] = beside_job(name);
  return options;
}

std::string Sections::beside_job(const std::string& path) const {
  if (const char* home = std::getenv("HOME"); home && path.starts_with("~/")) return home + path.substr(1);
  if (std::filesystem::path(path).is_absolute()) return path;
  const auto beside = std::filesystem::absolute(job_.file).parent_path() / path;
  std::error_code error;
  return std::filesystem::exists(beside, error) ? beside.lexically_normal().string() : path;
}

json Sections::read_model(const std::string& model) {
  auto layers = job_.layers({{"model", model}});
  if (const auto written = written_models_.find(model); written != written_models_.end())
    layers.insert(layers.begin(), &written->second);
  config::Reader in("model." + model, std::move(layers), problems_);
  const auto path =
      in.text("path", "", "Hugging Face folder (config.json, weights) that originals start from");
  const auto head = in.choice("head", "keep", {"keep", "new"},
                              "the folder's classifier, or a new one for the data set's classes");
  in.finish(kOverridableSections);
  if (path.empty()) {
    if (head != "keep") in.problem("head", "only a model with a path has a head to replace");
    return json::object();
  }
  const auto folder = std::filesystem::absolute(beside_job(path)).lexically_normal();
  json out{{"path", folder.string()}, {"head", head}};
  try {
    auto& key = weights_[folder.string()];
    if (key.empty()) key = models::weights_key(folder);
    out["weights"] = key;
  } catch (const DataError& error) {
    in.problem("path", error.what());
  }
  return out;
}

// Texts are cut as the model's own tokenizer does it, where the job names none.
void Sections::take_tokenizer(Base& base) {
  auto& options = base.dataset_options;
  const auto* reader = data::find_reader(options.value("reader", base.dataset));
  if (!reader || !reader->info.classified_text()) return;
  const auto folder = base.model_options.value("path", "");
  if (!options.contains("tokenizer") && !folder.empty() && data::has_tokenizer(folder))
    options["tokenizer"] = folder;
  const auto name = options.value("tokenizer", data::kWords);
  if (name == data::kWords) {
    options.erase("tokenizer");  // the default: settings that mean the same have the same id
    return;
  }
  if (name == data::kBytes) return;
  try {
    options["tokenizer_sha256"] = data::tokenizer_key(name);
  } catch (const DataError&) {  // described as a mistake of the job by data::describe
  }
}

void Sections::read_info(Base& base, const config::Position& dataset_at) {
  try {
    base.info = data::describe(base.dataset, base.dataset_options);
  } catch (const ConfigError& error) {
    problems_.add(dataset_at, "sweep.dataset", error.what());
    base.usable = false;
    return;
  }
  std::string where;
  if (base.info.train_size > 0 || data::available(base.dataset, base.dataset_options, where)) return;
  missing_ = where;
  base.usable = false;
}

// Names become data sets with their options, of the same classes and shape.
void Sections::resolve_transfer(Base& base) {
  config::Reader in("evaluate", layers("evaluate", base.dataset, base.model), problems_);
  const bool asked = contains(metrics(), "transfer"), named = base.evaluate.contains("transfer");
  if (asked && !named)
    in.problem("transfer", "the metric transfer needs data sets: transfer = [\"NAME\", ...]");
  if (named && !asked)
    in.problem("transfer", "only the metric transfer looks at these: add it to evaluate.metrics");
  if (!named) return;
  json sets = json::array();
  for (const auto& name : base.evaluate.at("transfer").get<std::vector<std::string>>()) {
    auto options = read_dataset(name);
    if (base.info.classified_text())  // the same tokens
      for (const char* key : {"tokenizer", "tokenizer_sha256"})
        if (base.dataset_options.contains(key)) options[key] = base.dataset_options[key];
    if (base.info.classified_text() && !options.contains("tokens")) options["tokens"] = base.info.tokens;
    std::string where;
    try {
      const auto info = data::describe(name, options);
      if (info.train_size == 0 && !data::available(name, options, where)) missing_ = where;
      if (std::tie(info.classes, info.channels, info.height, info.width, info.tokens) !=
          std::tie(base.info.classes, base.info.channels, base.info.height, base.info.width,
                   base.info.tokens))
        in.problem("transfer",
                   fmt::format("{} has {} classes of {}x{}x{}, {} has {} of {}x{}x{}", name, info.classes,
                               info.channels, info.height, info.width, base.dataset, base.info.classes,
                               base.info.channels, base.info.height, base.info.width));
    } catch (const ConfigError& error) {
      in.problem("transfer", error.what());
    }
    sets.push_back({{"dataset", name}, {"options", options}});
  }
  base.evaluate["transfer"] = std::move(sets);
}

void Sections::price_model(Base& base, const config::Position& model_at) {
  const auto refuse = [&](const std::string& what) {
    const auto* path = job_.find({"model", base.model, "path"});
    problems_.add(path ? path->at : model_at, path ? path->path : "sweep.model",
                  fmt::format("{} on {}: {}", base.model, base.dataset, what));
    base.usable = false;
  };
  const models::Descriptor* family = nullptr;
  try {
    family = &models::family_of(base.model, base.model_options);
  } catch (const Error& error) {
    return refuse(error.what());
  }
  const auto& descriptor = *family;
  using models::InputKind;
  const auto name_of = [](InputKind kind) {
    return kind == InputKind::kImages  ? "images alone"
           : kind == InputKind::kPairs ? "image-caption pairs"
           : kind == InputKind::kGraph ? "the edges of a graph"
                                       : "texts alone";
  };
  const InputKind takes = models::input_kind(descriptor), has = base.info.nodes > 0      ? InputKind::kGraph
                                                                : base.info.text_alone() ? InputKind::kTexts
                                                                : base.info.tokens > 0   ? InputKind::kPairs
                                                                                         : InputKind::kImages;
  if (takes != has || descriptor.task != base.info.task) {
    problems_.add(model_at, "sweep.model",
                  takes != has ? fmt::format("{} takes {}, {} has {}", base.model, name_of(takes),
                                             base.dataset, name_of(has))
                               : fmt::format("{} is made for the task {}, {} is one of {}", base.model,
                                             descriptor.task, base.dataset, base.info.task));
    base.usable = false;
    return;
  }
  try {
    base.model_config =
        models::choose(base.model, base.model_options,
                       {base.info.channels, base.info.height, base.info.width, base.info.classes,
                        base.info.tokens, base.info.vocabulary, base.info.nodes})
            .config;
    base.cost = descriptor.cost(base.model_config, base.info.height, base.info.width);
    base.parameters = descriptor.parameters(base.model_config);
    base.descriptor = &descriptor;
    base.has_batch_norm = descriptor.has_batch_norm;
  } catch (const Error& error) {  // also of a damaged config.json
    refuse(error.what());
  }
}

void Sections::throw_if_missing() const {
  if (!missing_.empty()) throw DataError::missing(missing_);
}

}  // namespace expunge::sweep
