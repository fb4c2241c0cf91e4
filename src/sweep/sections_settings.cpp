// [evaluate], [budget], [profile], [comm] and [run].
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "core/text.hpp"
#include "metrics/metric.hpp"
#include "sweep/sections.hpp"

namespace expunge::sweep {

using nlohmann::json;

namespace {

const std::vector<std::string> kDefaultMetrics = {"accuracy", "auc",  "mia",  "zrf",
                                                  "overall",  "time", "flops"};

const std::vector<std::string> kSplits = {"forget", "retain", "test", "val"};

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

bool Sections::follows_mubench() {
  config::Reader in("profile", job_.layers({{"profile"}}), problems_);
  const bool out = in.flag("mubench", false, "the methods' defaults are MU-Bench's scripted settings");
  in.finish();
  return out;
}

}  // namespace expunge::sweep
