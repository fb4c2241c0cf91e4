#include "sweep/sections.hpp"

#include <fmt/format.h>

#include <tuple>

#include "core/error.hpp"
#include "sweep/profile.hpp"

namespace expunge::sweep {
namespace {

using nlohmann::json;

// The default rule of grains made explicit: settings that mean the same have the same id.
void resolve_grain(json& options, bool has_batch_norm) {
  const auto grain = options.find("grain");
  if (grain != options.end() && *grain == 0)
    *grain = config::default_grain(options.at("batch").get<std::int64_t>(), has_batch_norm);
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
