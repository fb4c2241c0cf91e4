#include "sweep/sections.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <tuple>

#include "core/error.hpp"
#include "core/text.hpp"
#include "data/text_samples.hpp"
#include "metrics/metric.hpp"
#include "models/folder.hpp"
#include "models/input_kind.hpp"
#include "sweep/axes.hpp"
#include "sweep/profile.hpp"

namespace expunge::sweep {
namespace {

using nlohmann::json;

const std::vector<std::string> kDefaultMetrics = {"accuracy", "auc",  "mia",  "zrf",
                                                  "overall",  "time", "flops"};

// The default rule of grains made explicit: settings that mean the same have the same id.
void resolve_grain(json& options, bool has_batch_norm) {
  const auto grain = options.find("grain");
  if (grain != options.end() && *grain == 0)
    *grain = config::default_grain(options.at("batch").get<std::int64_t>(), has_batch_norm);
}

// "10% of retrain" -> 10; nothing when the text is something else.
double percent_of_retrain(const std::string& text) {
  char* end = nullptr;
  const double percent = std::strtod(text.c_str(), &end);
  std::string rest;
  for (const char* c = end; *c; ++c)
    if (*c != ' ') rest += *c;
  return end != text.c_str() && rest == "%ofretrain" ? percent : -1;
}

}  // namespace

std::vector<const config::Node*> Sections::layers(const std::string& section, const std::string& dataset,
                                                  const std::string& model) const {
  return job_.layers({{section}, {"dataset", dataset, section}, {"model", model, section}});
}

std::vector<const config::Node*> Sections::method_layers(const Base& base,
                                                         const methods::Descriptor& method) const {
  std::vector<config::Section> sections;
  if (!method.from_scratch)
    sections = {{"train"}, {"dataset", base.dataset, "train"}, {"model", base.model, "train"}};
  sections.push_back({"method", method.name});
  sections.push_back({"dataset", base.dataset, "method", method.name});
  sections.push_back({"model", base.model, "method", method.name});
  auto out = job_.layers(sections);
  if (method.from_scratch) out.insert(out.begin(), &base.original_node);
  return out;
}

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

void Sections::read_original(Base& base) {
  config::Reader in("original", layers("original", base.dataset, base.model), problems_);
  base.original_train = config::read_train_options(in, {});
  in.finish({"seed"});
  for (const auto& [key, value, wanted] : {std::tuple{"trainable", base.original_train.trainable, "all"},
                                           {"curriculum", base.original_train.curriculum, "none"}})
    if (value != wanted)
      in.problem(key,
                 fmt::format("an original trains all of its parameters on plain losses, got \"{}\"", value));
  base.original = in.resolved_values();
  base.original_node = config::node_from_json(base.original);
}

namespace {
const std::vector<std::string> kSplits = {"forget", "retain", "test", "val"};
}

json Sections::read_evaluate(const std::vector<const config::Node*>& layers) {
  config::Reader in("evaluate", layers, problems_);
  in.integer("grain", 64, config::ge(1), "samples of an evaluation grain");
  in.integer("random_networks", 5, config::ge(1), "untrained networks behind zrf and the overall score");
  in.integer("seed", 0, config::ge(0), "key of the evaluation's draws");
  in.integer("relearn_passes", 10, config::ge(1), "relearn: passes over D_f after which it gives up");
  in.number("relearn_margin", 0.05, config::between(0, 1),
            "relearn: how far below the original's accuracy counts as back");
  in.texts("transfer", {}, "transfer: data sets on whose test samples the models are tried");
  const auto splits = in.texts("splits", kSplits, "what is evaluated; what a metric lacks is left undefined");
  for (const auto& split : splits)
    if (!contains(kSplits, split))
      in.problem("splits", fmt::format("unknown split \"{}\" (have: {})", split, fmt::join(kSplits, ", ")));
  for (const char* split : {"forget", "test"})
    if (!contains(splits, split))
      in.problem("splits", fmt::format("\"{}\" is always evaluated: add it", split));
  in.finish({"metrics"});
  json out = in.resolved_values();
  if (splits.size() == kSplits.size()) out.erase("splits");
  // Metrics without a column in /row (time) do not distinguish cells.
  out["metrics"] = json::array();
  auto names = metrics();
  std::sort(names.begin(), names.end());
  for (const auto& name : names)
    if (!metrics::find_metric(name)->columns.empty()) out["metrics"].push_back(name);
  if (!contains(names, "relearn"))
    for (const char* key : {"relearn_passes", "relearn_margin"}) out.erase(key);
  if (out.at("transfer").empty()) out.erase("transfer");
  return out;
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

json Sections::read_budget(const std::vector<const config::Node*>& layers) {
  config::Reader in("budget", layers, problems_);
  const config::Node* flops = in.raw("flops");
  in.finish();
  json out = json::object();
  if (!flops) return out;
  const bool is_text = flops->value.is_string();
  const double value = is_text                    ? percent_of_retrain(flops->value.get<std::string>())
                       : flops->value.is_number() ? flops->value.get<double>()
                                                  : -1;
  if (value > 0 && value < 1e30)
    out[is_text ? "percent_of_retrain" : "flops"] = value;
  else
    in.problem("flops", fmt::format("expected a number of FLOPs > 0 or \"10% of retrain\", got {}",
                                    flops->is_table ? "a table" : flops->value.dump()));
  return out;
}

std::vector<std::string> Sections::metrics() {
  config::Reader in("evaluate", job_.layers({{"evaluate"}}), problems_);
  std::vector<std::string> out;
  const config::Node* node = job_.find({"evaluate", "metrics"});
  const auto names = in.texts("metrics", kDefaultMetrics, "metrics to compute");
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (contains(out, names[i])) continue;
    if (metrics::find_metric(names[i]))
      out.push_back(names[i]);
    else
      problems_.add(
          node && i < node->items.size() ? node->items[i] : in.position("metrics"), "evaluate.metrics",
          fmt::format("unknown \"{}\"{}", names[i], did_you_mean(names[i], metrics::metric_names())));
  }
  return out;
}

std::string Sections::reduction(RunSettings& run) {
  config::Reader in("comm", job_.layers({{"comm"}}), problems_);
  auto out = in.choice(
      "reduction", "ordered", {"ordered", "native"},
      "ordered: the same bits on any number of ranks; native: the library's own sum, for comparisons");
  run.flat_sums = in.choice("topology", "auto", {"auto", "flat"},
                            "auto: ordered sums add inside nodes first where several hold several ranks "
                            "each; flat: all ranks alike; the same bits") == "flat";
  in.finish();
  return out;
}

RunSettings Sections::run_settings() {
  config::Reader in("run", job_.layers({{"run"}}), problems_);
  RunSettings out;
  out.stall_seconds = in.number("stall_seconds", out.stall_seconds, config::gt(0),
                                "no progress for so long ends the program");
  out.checkpoint_seconds =
      in.number("checkpoint_seconds", out.checkpoint_seconds, config::gt(0), "time between checkpoints");
  out.checkpoint_steps = in.integer("checkpoint_steps", out.checkpoint_steps, config::ge(0),
                                    "steps between checkpoints, beside the time; 0 = off");
  out.keep_outputs = in.flag("keep_outputs", out.keep_outputs, "per-sample outputs in the cells' stores");
  out.keep_models = in.flag("keep_models", out.keep_models,
                            "unlearned models as Hugging Face folders, models/ID in the sweep's folder");
  out.teacher_megabytes = in.integer("teacher_megabytes", out.teacher_megabytes, config::ge(0),
                                     "most memory of a rank for answers of teachers that are asked again");
  out.cuda_graphs = in.flag("cuda_graphs", out.cuda_graphs,
                            "on a GPU: passes of the student are captured and replayed where shapes repeat; "
                            "the same bits, and more memory");
  out.recompute_blocks =
      in.flag("recompute_blocks", out.recompute_blocks,
              "blocks of transformers keep only their input for the backward pass and run again "
              "there (activation checkpointing): less memory, the same bits; FLOPs in stores and "
              "plans stay the method's, without the second forward pass");
  in.finish();
  return out;
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

void Sections::throw_if_missing() const {
  if (!missing_.empty()) throw DataError::missing(missing_);
}

Base Sections::base(const std::string& dataset, const std::string& model, const config::Position& dataset_at,
                    const config::Position& model_at) {
  Base out;
  out.dataset = dataset;
  out.model = model;
  const auto before = problems_.reports();
  out.dataset_options = read_dataset(dataset);
  out.model_options = read_model(model);
  take_tokenizer(out);
  config::Reader data("data", layers("data", dataset, model), problems_);
  out.data_options = data::read_data_options(data);
  data.finish();
  out.data = data.resolved_values();
  out.requests = out.data.at("requests");  // of cells: an original is the same however D_f arrives
  out.data.erase("requests");
  if (out.data.at("class_weights") == "none") out.data.erase("class_weights");  // ids of before it was there
  read_original(out);
  out.evaluate = read_evaluate(layers("evaluate", dataset, model));
  out.budget = read_budget(layers("budget", dataset, model));
  out.usable = problems_.reports() == before;
  if (out.usable) read_info(out, dataset_at);
  if (!out.usable) return out;
  for (const auto& [key, limit, have] :
       {std::tuple{"train_limit", out.data_options.train_limit, out.info.train_size},
        {"test_limit", out.data_options.test_limit, out.info.test_size}})
    if (limit > have)
      data.problem(key, fmt::format("{} has only {} such samples, got {}", dataset, have, limit));
  if (out.data_options.class_weights != "none" && out.info.task != "classification")
    data.problem("class_weights", fmt::format("needs classes; the task of {} is {}", dataset, out.info.task));
  resolve_transfer(out);
  price_model(out, model_at);
  resolve_grain(out.original, out.has_batch_norm);
  out.usable = out.usable && problems_.reports() == before;
  return out;
}

// The cost of a sample with what the options train; problems when model or method do not go with it.
models::Cost Sections::cost_of(const Base& base, const methods::Descriptor& method, config::Reader& in) {
  const auto& options = in.resolved_values();
  const auto text = options.value("trainable", "all");
  const std::string kind = text.substr(0, text.find(':'));
  const bool curriculum = options.contains("curriculum") && options["curriculum"].at("name") != "none";
  if (method.from_scratch && (kind != "all" || curriculum))
    in.problem(
        kind != "all" ? "trainable" : "curriculum",
        fmt::format(
            "{} trains a new model as [original] does; this is for methods that start from the original",
            method.name));
  for (const auto& [wrapper, asked] :
       {std::pair{kind, kind != "all"}, {std::string("superloss"), curriculum}})
    if (const auto refused = method.refuses.find(wrapper); asked && refused != method.refuses.end())
      in.problem(wrapper == "superloss" ? "curriculum" : "trainable",
                 fmt::format("{} does not go with {}: {}", method.name, wrapper, refused->second));
  if (!base.descriptor) return base.cost;
  try {
    const auto trainable = models::resolve_trainable(text, *base.descriptor, base.model_config);
    return models::cost_of(*base.descriptor, base.model_config, base.info.height, base.info.width, trainable);
  } catch (const ConfigError& error) {
    in.problem("trainable", fmt::format("{}: {}", base.model, error.what()));
    return base.cost;
  }
}

bool Sections::follows_mubench() {
  config::Reader in("profile", job_.layers({{"profile"}}), problems_);
  const bool out = in.flag("mubench", false, "the methods' defaults are MU-Bench's scripted settings");
  in.finish();
  return out;
}

MethodPlan Sections::method(const Base& base, const methods::Descriptor& method,
                            const methods::Sizes& sizes) {
  auto layers = method_layers(base, method);
  config::Node scripted;
  if (!method.from_scratch && base.usable && follows_mubench()) {
    const auto all = static_cast<double>(std::max<std::int64_t>(1, sizes.forget + sizes.retain));
    const json settings =
        mubench_settings(base.dataset, base.model, method.name, static_cast<double>(sizes.forget) / all);
    if (settings.is_null()) {
      const config::Node* at = job_.find({"profile", "mubench"});
      problems_.add(at ? at->at : config::Position{job_.file}, "profile.mubench",
                    fmt::format("MU-Bench has no settings for {}; it has {}", base.dataset,
                                join(mubench_datasets(), ", ")));
    } else {
      scripted = config::node_from_json(settings);
      layers.insert(layers.begin(), &scripted);
    }
  }
  config::Reader in("method." + method.name, std::move(layers), problems_);
  const auto phases = method.plan(in, sizes);
  in.finish();
  const auto whole = cost_of(base, method, in);
  MethodPlan out;
  out.options = in.resolved_values();
  resolve_grain(out.options, base.has_batch_norm);
  const auto cost = models::in_grains(whole, out.options.at("grain").get<std::int64_t>());
  for (const auto& phase : phases) {
    if (phase.scheduled) out.steps += phase.steps;
    out.flops += (phase.forward + phase.teacher) * cost.forward + phase.backward * cost.backward;
  }
  return out;
}

}  // namespace expunge::sweep
