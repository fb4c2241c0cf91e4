#include "sweep/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "metrics/metric.hpp"
#include "sweep/axes.hpp"
#include "sweep/canonical_text.hpp"
#include "sweep/evaluated.hpp"
#include "sweep/outline.hpp"
#include "sweep/sections.hpp"

namespace expunge::sweep {
namespace {

using nlohmann::json;

// What the cells of one (data set, model, method, ratio) share.
struct Family {
  bool usable = false;
  std::size_t base = 0;
  json settings;  // of a cell, without seed and original_id
  CanonicalText text;
  double flops = 0, retrain_flops = 0, eval_flops = 0, budget_flops = 0;
  std::int64_t total_steps = 0;
};

class Expansion {
 public:
  Expansion(const Axes& axes, Sections& sections, Plan& plan, bool with_settings)
      : axes_(axes),
        sections_(sections),
        plan_(plan),
        with_settings_(with_settings),
        reduction_(sections.reduction(plan.run)) {}

  void run() {
    plan_.cells.reserve(axes_.points.size());
    for (const auto& point : axes_.points) {
      const Family& family = family_of(point);
      if (family.usable) add_cell(point, family);
    }
  }

 private:
  std::size_t base_of(const Point& point) {
    const auto [found, added] = base_index_.try_emplace({point.dataset, point.model}, bases_.size());
    if (added)
      bases_.push_back(sections_.base(point.dataset, point.model, axes_.where("dataset", point.dataset),
                                      axes_.where("model", point.model)));
    return found->second;
  }

  // Sizes of the splits; a problem (and nothing) when D_f would be empty or the options do not fit the data
  // set.
  bool sizes_of(const Base& base, const data::Ratio& ratio, data::SplitSizes& sizes) {
    try {
      sizes = data::split_sizes(base.info, base.data_options, ratio);
    } catch (const ConfigError& error) {
      const auto* deletion = sections_.job().find({"data", "deletion"});
      sections_.problems().add(deletion ? deletion->at : axes_.where("dataset", base.dataset),
                               deletion ? "data.deletion" : "data", error.what());
      return false;
    }
    if (sizes.forget > 0) return true;
    sections_.problems().add(
        axes_.where("ratio", json(ratio.value()).dump()), "sweep.ratio",
        fmt::format("{} of {} training samples of {} is less than one sample: nothing to forget", ratio.text,
                    sizes.train, base.dataset));
    return false;
  }

  // What the method needs and the cell does not have.
  void check_needs(const Base& base, const methods::Descriptor& method, const data::SplitSizes& sizes) {
    for (const auto need : method.needs) {
      const std::string lack = lacking(need, base, sizes);
      if (lack.empty()) continue;
      sections_.problems().add(
          axes_.where("method", method.name), "sweep.method",
          fmt::format("{} on {} with {}: {}", method.name, base.dataset, base.model, lack));
    }
  }

  static std::string lacking(methods::Need need, const Base& base, const data::SplitSizes& sizes) {
    using methods::Need;
    const bool classified = base.info.task == "classification", answers = base.info.task == "causal_lm";
    switch (need) {
      case Need::kLabels:
        return classified
                   ? ""
                   : fmt::format("needs a class label for every sample; the task is {}", base.info.task);
      case Need::kTargets:
        return classified || answers
                   ? ""
                   : fmt::format("needs right answers, classes or tokens; the task {} has none",
                                 base.info.task);
      case Need::kPreferredAnswer:
        return classified || answers
                   ? ""
                   : fmt::format("needs an answer to prefer to D_f's own; the task {} has none",
                                 base.info.task);
      case Need::kImages:
        return !base.info.text_alone() ? "" : "needs inputs with pixels";
      case Need::kUnseen:
        return sizes.val > 0 ? ""
                             : "needs samples that nothing was trained on: set data.val_fraction above 0";
      case Need::kWholeClasses:
        return base.data_options.unit == "class" ? "" : "forgets whole classes: set data.unit = \"class\"";
      case Need::kWholeEdges:
        if (base.info.nodes == 0) return "needs a graph of which samples are edges (data set pgr, model gcn)";
        return base.data_options.unit == "edge" ? "" : "forgets whole edges: set data.unit = \"edge\"";
      case Need::kPairs:
        return base.info.pairs() ? "" : "needs image-caption pairs (data set flickr8k, model two_tower)";
      case Need::kHead:
        return base.descriptor->linear_head ? "" : "needs a linear classifier on pooled features";
    }
    return "";
  }

  // The method's plan; where D_f arrives in parts, the sum over the requests.
  MethodPlan over_requests(const Base& base, const methods::Descriptor& method, methods::Sizes sizes,
                           const std::vector<std::int64_t>& requests) {
    if (requests.empty()) return sections_.method(base, method, sizes);
    MethodPlan sum;
    sizes.retain += sizes.forget;
    for (const auto part : requests) {
      sizes.forget = part;
      sizes.retain -= part;
      auto plan = sections_.method(base, method, sizes);
      plan.flops += sum.flops, plan.steps += sum.steps;
      sum = std::move(plan);
      if (sections_.problems().reports() > 0) break;
    }
    return sum;
  }

  // What retraining on the same split takes; the same for all methods.
  MethodPlan retrain_of(std::size_t base_index, const data::Ratio& ratio, const methods::Sizes& sizes,
                        const std::vector<std::int64_t>& requests) {
    const auto* retrain = methods::find_descriptor("retrain");
    if (!retrain) return {};
    const std::pair key{base_index, ratio.text};
    if (const auto found = retrain_.find(key); found != retrain_.end()) return found->second;
    const auto before = sections_.problems().reports();
    auto plan = over_requests(bases_[base_index], *retrain, sizes, requests);
    if (sections_.problems().reports() == before) retrain_.emplace(key, plan);
    return plan;
  }

  Family make_family(const Point& point) {
    Family out;
    out.base = base_of(point);
    const Base& base = bases_[out.base];
    const auto& method = *methods::find_descriptor(point.method);
    data::SplitSizes sizes{.train = 1000, .forget = 100, .retain = 900};
    const bool sized = base.usable && sizes_of(base, point.ratio, sizes);
    const auto before = sections_.problems().reports();
    const methods::Sizes method_sizes{.forget = sizes.forget,
                                      .retain = sizes.retain,
                                      .classes = base.info.task_classes(),
                                      .unseen = sizes.val,
                                      .answers_are_inputs = base.info.task == "causal_lm"};
    if (sized) check_needs(base, method, sizes);
    const auto plan = over_requests(base, method, method_sizes, sizes.requests);
    const auto retrain = retrain_of(out.base, point.ratio, method_sizes, sizes.requests);
    out.retrain_flops = retrain.flops;
    if (!sized || sections_.problems().reports() != before) return out;
    out.usable = true;
    note_memory(out.base, point.method,
                memory_of_run(base, plan.options, sizes, method.copies, plan_.run.recompute_blocks));
    out.flops = plan.flops;
    out.total_steps = plan.steps;
    const auto evaluated = [&](const char* split, std::int64_t samples) {
      return is_evaluated(base.evaluate, split) ? samples : 0;
    };
    const std::int64_t samples = method_sizes.forget +
                                 evaluated("retain", sizes.train - method_sizes.forget) + sizes.test +
                                 evaluated("val", sizes.val);
    out.eval_flops = models::in_grains(base.cost, base.evaluate.at("grain").get<std::int64_t>()).forward *
                     static_cast<double>(samples);
    json budget = json::object();
    if (base.budget.contains("flops")) {
      budget = base.budget;
      out.budget_flops = base.budget.at("flops").get<double>();
    } else if (base.budget.contains("percent_of_retrain") && !method.from_scratch) {
      budget = base.budget;
      budget["retrain_options"] = retrain.options;  // what it is a share of decides where the run stops
      out.budget_flops = base.budget.at("percent_of_retrain").get<double>() / 100 * out.retrain_flops;
    }
    out.settings = {{"dataset", point.dataset},
                    {"model", point.model},
                    {"method", point.method},
                    {"ratio", point.ratio.value()},
                    {"data", base.data},
                    {"dataset_options", base.dataset_options},
                    {"method_options", plan.options},
                    {"evaluate", base.evaluate},
                    {"budget", budget},
                    {"reduction", reduction_}};
    if (!base.model_options.empty()) out.settings["model_options"] = base.model_options;
    if (!base.requests.empty()) out.settings["data"]["requests"] = base.requests;
    out.text = CanonicalText(out.settings);
    return out;
  }

  // The largest of a data set's and model's runs is kept.
  void note_memory(std::size_t base_index, const std::string& run, const Memory& memory) {
    const Base& base = bases_[base_index];
    const auto [found, added] = memory_index_.try_emplace(base_index, plan_.memory.size());
    if (added) plan_.memory.push_back({base.dataset, base.model, run, memory});
    auto& largest = plan_.memory[found->second];
    if (memory.total(1) > largest.memory.total(1)) largest.run = run, largest.memory = memory;
  }

  const Family& family_of(const Point& point) {
    // Neighbours are mostly of one family: they differ in the last axes.
    if (last_ && last_->first == family_key(point)) return last_->second;
    const auto key = family_key(point);
    auto found = families_.find(key);
    if (found == families_.end()) found = families_.emplace(key, make_family(point)).first;
    last_ = &*found;
    return found->second;
  }

  using FamilyKey = std::tuple<std::string, std::string, std::string, std::string>;
  static std::tuple<const std::string&, const std::string&, const std::string&, const std::string&>
  family_key(const Point& point) {
    return {point.dataset, point.model, point.method, point.ratio.text};
  }

  std::size_t original_of(std::size_t base_index, std::int64_t seed) {
    const auto [found, added] = original_index_.try_emplace({base_index, seed}, plan_.originals.size());
    if (!added) return found->second;
    const Base& base = bases_[base_index];
    Original original;
    original.key = fmt::format("dataset={}/model={}/seed={}", base.dataset, base.model, seed);
    original.dataset = base.dataset;
    original.model = base.model;
    original.seed = seed;
    original.settings = {{"dataset", base.dataset},
                         {"model", base.model},
                         {"seed", seed},
                         {"data", base.data},
                         {"original", base.original},
                         {"dataset_options", base.dataset_options},
                         {"evaluate", {{"grain", base.evaluate.at("grain")}}},
                         {"reduction", reduction_}};
    if (!base.model_options.empty()) original.settings["model_options"] = base.model_options;
    original.id = settings_id(original.settings);
    original.parameters = base.parameters;
    const auto sizes = data::split_sizes(base.info, base.data_options, data::Ratio{0, 1, "0"});
    const auto samples = static_cast<double>(base.original_train.epochs * sizes.train);
    const auto cost = models::in_grains(base.cost, base.original.at("grain").get<std::int64_t>());
    original.flops = samples * (cost.forward + cost.backward);
    note_memory(base_index, "original",
                memory_of_run(base, base.original, sizes, 0, plan_.run.recompute_blocks));
    plan_.originals.push_back(std::move(original));
    return found->second;
  }

  void add_cell(const Point& point, const Family& family) {
    Cell cell;
    cell.key = fmt::format("dataset={}/model={}/method={}/ratio={}/seed={}", point.dataset, point.model,
                           point.method, point.ratio.text, point.seed);
    if (axes_.several_originals) cell.key += fmt::format("/original_seed={}", point.original_seed);
    cell.dataset = point.dataset;
    cell.model = point.model;
    cell.method = point.method;
    cell.ratio = point.ratio;
    cell.seed = point.seed;
    cell.original = original_of(family.base, point.original_seed);
    const std::string& original_id = plan_.originals[cell.original].id;
    if (with_settings_) {
      cell.settings = family.settings;
      cell.settings["seed"] = point.seed;
      cell.settings["original_id"] = original_id;
    }
    cell.id = family.text.id(original_id, point.seed);
    cell.flops = family.flops;
    cell.retrain_flops = family.retrain_flops;
    cell.eval_flops = family.eval_flops;
    cell.budget_flops = family.budget_flops;
    cell.total_steps = family.total_steps;
    plan_.cells.push_back(std::move(cell));
  }

  const Axes& axes_;
  Sections& sections_;
  Plan& plan_;
  const bool with_settings_;
  std::string reduction_;
  std::vector<Base> bases_;
  std::map<std::pair<std::string, std::string>, std::size_t> base_index_;
  std::map<FamilyKey, Family> families_;
  const std::pair<const FamilyKey, Family>* last_ = nullptr;
  std::map<std::pair<std::size_t, std::string>, MethodPlan> retrain_;  // by base and ratio
  std::map<std::pair<std::size_t, std::int64_t>, std::size_t> original_index_;
  std::map<std::size_t, std::size_t> memory_index_;  // by base
};

std::string hash_of_ids(const Plan& plan) {
  std::vector<std::string_view> ids;
  ids.reserve(plan.cells.size());
  for (const auto& cell : plan.cells) ids.push_back(cell.id);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  Sha256 hash;
  for (const auto id : ids) hash.add(id).add("\n");
  return hash.hex();
}

template <class Name>
std::vector<std::string> distinct(const std::vector<Point>& points, Name name) {
  std::set<std::string> out;
  for (const auto& point : points) out.insert(point.*name);
  return {out.begin(), out.end()};
}

Plan expand(const std::filesystem::path& file, const std::vector<std::string>& overrides,
            bool with_settings) {
  const config::Job job = config::read_job(file, overrides);
  config::Diagnostics problems;
  const Axes axes = read_axes(job, problems);
  Sections sections(job, problems, axes.models);
  sections.check_names(distinct(axes.points, &Point::dataset), distinct(axes.points, &Point::method));
  Plan plan;
  plan.name = axes.name;
  plan.file = job.file;
  plan.text = job.text;
  plan.metrics = sections.metrics();
  plan.run = sections.run_settings();
  for (const auto& name : plan.metrics)
    for (const auto& column : metrics::find_metric(name)->columns)
      if (std::find(plan.row_names.begin(), plan.row_names.end(), column.name) == plan.row_names.end())
        plan.row_names.push_back(column.name);
  Expansion(axes, sections, plan, with_settings).run();
  problems.throw_if_any();
  sections.throw_if_missing();
  plan.sha256 = hash_of_ids(plan);
  return plan;
}

}  // namespace

std::string settings_id(const json& settings) {
  return sha256_hex(science_of(settings).dump()).substr(0, 16);
}

int default_ranks_per_cell(const Plan& plan, int world_size) {
  constexpr std::int64_t kLargeModel = 20'000'000;
  const bool large = std::any_of(plan.originals.begin(), plan.originals.end(),
                                 [](const Original& original) { return original.parameters >= kLargeModel; });
  return large ? world_size : 1;
}

Plan load(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  return expand(file, overrides, true);
}

Plan load_outline(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  return expand(file, overrides, false);
}

}  // namespace expunge::sweep
