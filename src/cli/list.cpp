// `expunge list`: what there is, documented by the same calls that read the options.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/commands.hpp"
#include "cli/table.hpp"
#include "config/train_options.hpp"
#include "core/error.hpp"
#include "core/text.hpp"
#include "data/dataset.hpp"
#include "data/split.hpp"
#include "methods/method.hpp"
#include "methods/taxonomy.hpp"
#include "metrics/metric.hpp"
#include "models/input_kind.hpp"

namespace expunge::cli {
namespace list_command {

using Rows = std::vector<std::vector<std::string>>;

std::string shown(const nlohmann::json& fallback) {
  if (fallback.is_string()) return fallback.get<std::string>();
  if (fallback.is_number_float()) return fmt::format("{}", fallback.get<double>());
  if (!fallback.is_array()) return fallback.dump();
  std::vector<std::string> parts;
  for (const auto& element : fallback) parts.push_back(shown(element));
  return "[" + join(parts, ", ") + "]";
}

void print_options(const std::string& title, const config::Reader& in) {
  Rows rows{{"key", "type", "default", "domain", "meaning"}};
  for (const auto& d : in.docs()) rows.push_back({d.key, d.type, shown(d.fallback), d.domain, d.help});
  fmt::print("\n{}\n{}", title, text_table(rows, "  "));
}

// Methods.

std::vector<std::string> method_row(const methods::Descriptor& d) {
  return {d.name,   d.taxonomy.measure, d.taxonomy.corrupt, d.taxonomy.retain, d.taxonomy.parameters,
          d.summary};
}

// One table for each value of an axis of the taxonomy.
void list_methods_by(const std::string& axis) {
  std::map<std::string, Rows> families;
  for (const auto* d : methods::descriptors()) {
    auto& rows = families[methods::at_axis(d->taxonomy, axis)];
    if (rows.empty()) rows.push_back({"method", "measure", "corrupt", "retain", "parameters", "summary"});
    rows.push_back(method_row(*d));
  }
  for (const auto& [family, rows] : families)
    fmt::print("{}: {}\n{}\n", axis, family, text_table(rows, "  "));
}

void list_methods() {
  Rows rows{{"method", "measure", "corrupt", "retain", "parameters", "summary"}};
  for (const auto* d : methods::descriptors()) rows.push_back(method_row(*d));
  fmt::print(
      "{}taxonomy of MU-Bench, Table 2: what is measured, how D_f is corrupted, what holds D_r, which "
      "parameters change\n",
      text_table(rows));
}

// What the method does with its defaults, beside one epoch of plain fine-tuning on D_r.
void print_cost(const methods::Descriptor& d, config::Reader& in) {
  const methods::Sizes sizes{.forget = 100, .retain = 900, .classes = 10, .unseen = 100};
  Rows rows{{"phase", "steps", "forward", "backward", "teacher"}};
  double flops = 0;
  for (const auto& p : d.plan(in, sizes)) {
    rows.push_back({p.name, fmt::format("{}", p.steps), fmt::format("{:.0f}", p.forward),
                    fmt::format("{:.0f}", p.backward), fmt::format("{:.0f}", p.teacher)});
    flops += 2 * (p.forward + p.teacher) +
             4 * p.backward;  // per parameter and sample (methods of counting: 2, 4, 2)
  }
  fmt::print("\ncost for 100 samples of D_f and 900 of D_r, in samples passed\n{}", text_table(rows, "  "));
  fmt::print("about {:.2f} epochs of fine-tuning on D_r\n", flops / (6.0 * 900));
}

void show_method(const std::string& name) {
  const auto& d = *methods::find_descriptor(name);
  fmt::print("{}: {}\nsource: {}\n", d.name, d.summary, d.source);
  fmt::print("measure: {}; corrupt: {}; retain: {}; parameters: {}\n", d.taxonomy.measure, d.taxonomy.corrupt,
             d.taxonomy.retain, d.taxonomy.parameters);
  std::vector<std::string> needs;
  for (const auto need : d.needs) needs.push_back(methods::describe(need));
  if (!needs.empty()) fmt::print("needs: {}\n", join(needs, "; "));
  for (const auto& deviation : d.deviations) fmt::print("departs from its references: {}\n", deviation);
  if (d.stops_early) fmt::print("may stop earlier than planned\n");
  if (d.from_scratch) fmt::print("starts from a new initialisation; its defaults are the job's [original]\n");
  config::Diagnostics problems;
  config::Reader in("method." + name, {}, problems);
  print_cost(d, in);
  print_options(fmt::format("[method.{}]", name), in);
  fmt::print("optimizer may be a name alone; lr, weight_decay and momentum may stand beside it.\n");
}

// Models.

std::vector<std::string> model_row(const models::Descriptor& d, const std::string& name,
                                   const models::InputShape& shape) {
  try {
    const auto config = d.config(name, shape);
    const auto cost = d.cost(config, shape.height, shape.width);
    return {name,
            d.family,
            fmt::format("{:.2f} M", static_cast<double>(d.parameters(config)) / 1e6),
            human_flops(cost.forward),
            human_flops(cost.backward),
            d.summary};
  } catch (const ConfigError&) {
    return {name, d.family, "-", "-", "-", d.summary};
  }
}

const models::InputShape kSmall{.channels = 3, .height = 32, .width = 32, .classes = 10};
const models::InputShape kLarge{.channels = 3, .height = 224, .width = 224, .classes = 10};

const models::InputShape kText{
    .channels = 0, .height = 1, .width = 128, .classes = 2, .tokens = 128, .vocabulary = 0};

const models::InputShape& usual_shape(const models::Descriptor& d) {
  if (models::input_kind(d) == models::InputKind::kTexts) return kText;
  return d.takes_text || d.family.find("cifar") != std::string::npos ? kSmall : kLarge;
}

void list_models() {
  Rows rows{{"model", "family", "parameters", "forward", "backward", "summary"}};
  for (const auto* d : models::descriptors())
    for (const auto& name : d->names) rows.push_back(model_row(*d, name, usual_shape(*d)));
  fmt::print(
      "{}FLOPs of one sample, 10 classes, at 224x224 (the CIFAR form and two_tower: 32x32); of texts: 2 "
      "classes, "
      "128 tokens.\n",
      text_table(rows));
}

void show_model(const std::string& name) {
  const auto& d = *models::find_descriptor(name);
  fmt::print("{}: {}\nsource: {}\nconfig.json: model_type \"{}\"\n", name, d.summary, d.source, d.model_type);
  Rows rows{{"input", "parameters", "forward", "backward"}};
  std::vector<models::InputShape> shapes{{1, 28, 28, 10}, kSmall, kLarge};
  const bool text = models::input_kind(d) == models::InputKind::kTexts;
  if (text) shapes = {{0, 1, 32, 2, 32}, kText, {0, 1, 512, 2, 512}};
  for (const auto& shape : shapes) {
    const auto row = model_row(d, name, shape);
    rows.push_back({!text ? fmt::format("{}x{}x{}", shape.channels, shape.height, shape.width)
                          : fmt::format("{} tokens", shape.tokens),
                    row[2], row[3], row[4]});
  }
  fmt::print("{}", text_table(rows));
  config::Diagnostics problems;
  config::Reader in("train", {}, problems);
  config::read_train_options(in, {});
  print_options(fmt::format("[original], [train], [model.{}.train]", name), in);
}

// Data sets.

void list_datasets() {
  Rows rows{{"dataset", "classes", "sample", "train", "test", "found", "title"}};
  for (const auto* reader : data::readers()) {
    const auto& i = reader->info;
    std::string where;
    const auto number = [](std::int64_t n) { return n > 0 ? fmt::format("{}", n) : "-"; };
    const bool generic = i.train_size == 0;
    rows.push_back({i.name, number(i.classes),
                    i.text_alone() ? fmt::format("{} tokens", i.tokens)
                    : i.height > 0 ? fmt::format("{}x{}x{}", i.channels, i.height, i.width)
                    : i.nodes > 0  ? "edges"
                                   : "any",
                    number(i.train_size), number(i.test_size),
                    generic                                                    ? "-"
                    : data::available(i.name, nlohmann::json::object(), where) ? "yes"
                                                                               : "no",
                    i.title});
  }
  fmt::print("{}", text_table(rows));
}

void show_dataset(const std::string& name) {
  const auto* reader = data::find_reader(name);
  const auto& i = reader->info;
  fmt::print("{}: {}\nsource: {}\nlicence: {}\nfiles: {}\ntask: {}\n", i.name, i.title, i.source, i.licence,
             i.files, i.task);
  if (i.nodes > 0)
    fmt::print("{} classes, {} training and {} test edges of a graph of {} nodes\n", i.classes, i.train_size,
               i.test_size, i.nodes);
  else if (i.text_alone() && i.train_size > 0)
    fmt::print("{} classes, {} training and {} test texts of up to {} tokens\n", i.classes, i.train_size,
               i.test_size, i.tokens);
  else if (i.train_size > 0)
    fmt::print("{} classes, {} training and {} test images of {}x{}x{}\n", i.classes, i.train_size,
               i.test_size, i.channels, i.height, i.width);
  fmt::print("published deletion list: {}\n", i.deletion_list.empty() ? "none" : i.deletion_list);
  std::string where;
  if (i.train_size > 0)
    fmt::print("{}\n", data::available(name, nlohmann::json::object(), where) ? "found" : where);
  config::Diagnostics problems;
  config::Reader own("dataset." + name, {}, problems), common("data", {}, problems);
  data::read_dataset_options(own);
  data::read_data_options(common);
  print_options(fmt::format("[dataset.{}]", name), own);
  print_options(fmt::format("[data], [dataset.{}.data]", name), common);
}

// Metrics and tasks.

void list_metrics() {
  Rows rows{{"metric", "columns", "summary"}};
  for (const auto* m : metrics::metrics()) {
    std::vector<std::string> columns;
    for (const auto& c : m->columns) columns.push_back(c.name);
    rows.push_back({m->name,
                    columns.size() > 4 ? fmt::format("{}, ... ({})", columns[0], columns.size())
                    : columns.empty()  ? "-"
                                       : join(columns, ", "),
                    m->summary});
  }
  fmt::print("{}", text_table(rows));
}

void show_metric(const std::string& name) {
  const auto& m = *metrics::find_metric(name);
  fmt::print("{}: {}\nsource: {}\n", m.name, m.summary, m.source);
  Rows rows{{"column", "title", "better", "meaning"}};
  for (const auto& c : m.columns)
    rows.push_back({c.name, c.title, c.better > 0 ? "higher" : c.better < 0 ? "lower" : "-", c.help});
  if (!m.columns.empty()) fmt::print("\n{}", text_table(rows, "  "));
}

constexpr const char* kClassification =
    "per-sample cross-entropy, softmax outputs, labels corrupted to other classes; image data sets";

void list_tasks() {
  fmt::print("{}", text_table({{"task", "summary"}, {"classification", kClassification}}));
}
void show_task(const std::string& name) { fmt::print("{}: {}\n", name, kClassification); }
std::vector<std::string> task_names() { return {"classification"}; }

struct Kind {
  const char* name;
  void (*list)();
  void (*show)(const std::string& name);
  std::vector<std::string> (*names)();
};
constexpr Kind kKinds[] = {{"methods", list_methods, show_method, methods::descriptor_names},
                           {"models", list_models, show_model, models::model_names},
                           {"datasets", list_datasets, show_dataset, data::reader_names},
                           {"metrics", list_metrics, show_metric, metrics::metric_names},
                           {"tasks", list_tasks, show_task, task_names}};

int run(Args& args) {
  const auto by =
      args.option("--by", "AXIS", "", "methods: in families, by " + join(methods::kTaxonomyAxes, ", "));
  const auto what = args.positionals("KIND NAME", 0, 2,
                                     "methods, models, datasets, metrics or tasks; and one of their names");
  args.finish();
  if (!by.empty()) {
    const auto& axes = methods::kTaxonomyAxes;
    if (what != std::vector<std::string>{"methods"})
      throw UsageError("list: --by groups methods: expunge list methods --by corrupt");
    if (std::find(axes.begin(), axes.end(), by) == axes.end())
      throw UsageError(fmt::format("--by: unknown \"{}\"{}", by, did_you_mean(by, axes)));
    list_methods_by(by);
    return kExitOk;
  }
  if (what.empty()) {
    for (const auto& kind : kKinds) fmt::print("{}: {}\n", kind.name, join(kind.names(), ", "));
    return kExitOk;
  }
  std::vector<std::string> kinds;
  for (const auto& kind : kKinds) {
    kinds.emplace_back(kind.name);
    if (what[0] != kind.name) continue;
    if (what.size() == 1) {
      kind.list();
      return kExitOk;
    }
    const auto names = kind.names();
    if (std::find(names.begin(), names.end(), what[1]) == names.end())
      throw UsageError(
          fmt::format("list {}: unknown \"{}\"{}", kind.name, what[1], did_you_mean(what[1], names)));
    kind.show(what[1]);
    return kExitOk;
  }
  throw UsageError(fmt::format("list: unknown \"{}\"{}", what[0], did_you_mean(what[0], kinds)));
}

const RegisterCommand entry{"list", "methods, models, datasets, metrics, tasks and their options", run};

}  // namespace list_command
}  // namespace expunge::cli
