#include "engine/cell.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/log.hpp"
#include "core/numbers.hpp"
#include "core/progress.hpp"
#include "core/text.hpp"
#include "engine/cell_requests.hpp"
#include "engine/evaluate.hpp"
#include "engine/node.hpp"
#include "engine/relearn.hpp"
#include "engine/transfer.hpp"
#include "methods/runner_registry.hpp"
#include "metrics/sums.hpp"
#include "models/torch/recompute.hpp"
#include "store/store_file.hpp"
#include "sweep/evaluated.hpp"

namespace expunge {
namespace {

store::SplitSums to_sums(const metrics::Outputs& outputs) {
  const auto s = metrics::split_sums(outputs);
  return {s.count, s.correct, s.classes, s.loss_sum, s.confusion};
}

store::SplitOutputs to_store(const metrics::Outputs& o) {
  return {o.ids, o.labels, o.logits, o.classes, o.answers};
}
metrics::Outputs from_store(const store::SplitOutputs& o) {
  return {o.ids, o.labels, o.logits, o.classes, o.answers};
}

// The text of a finished run for people: one line.
void announce(comm::Communicator& comm, const store::Record& r, const std::string& what) {
  if (comm.rank() != 0) return;
  const auto accuracy = [&](const char* split) {
    const auto found = r.splits.find(split);
    return found == r.splits.end() || found->second.count == 0
               ? std::string("-")
               : fmt::format("{:.1f} %", 100.0 * static_cast<double>(found->second.correct) /
                                             static_cast<double>(found->second.count));
  };
  // Every group speaks for its cells, not only the world's first rank.
  const auto line = fmt::format("{}: {} in {} (test {}, forget {}, retain {}){}", what, r.status,
                                human_seconds(r.timing.at("wall")), accuracy("test"), accuracy("forget"),
                                accuracy(r.kind == "original" ? "train" : "retain"),
                                r.status_text.empty() ? "" : ": " + r.status_text);
  log::write("info", line, true);
}

// Runs a program over the context and turns what it throws into a status.
template <class Program>
std::pair<std::string, std::string> outcome_of(Program&& program) {
  try {
    program();
    return {"ok", ""};
  } catch (const Stopped& stopped) {
    return {stopped.outcome == Outcome::kDiverged ? "diverged" : "budget", stopped.text};
  }
}

// Untrained networks on D_f and on a keyed sample of the test split, for ZRF.
void add_untrained(Node& node, metrics::Inputs& inputs, const std::vector<std::int64_t>& test_sample,
                   const nlohmann::json& evaluate_settings) {
  const auto seed = evaluate_settings.at("seed").get<std::uint64_t>();
  const auto networks = evaluate_settings.at("random_networks").get<int>();
  for (int k = 0; k < networks; ++k) {
    const auto outputs_of = [&](const char* split, data::Side side, const std::vector<std::int64_t>& ids) {
      const std::string key = fmt::format("{} {} {} {} {}", node.dataset.checksum(), node.model_config.dump(),
                                          seed, k, xxh128_hex(ids.data(), ids.size() * sizeof(ids[0]))) +
                              split;
      inputs.outputs[fmt::format("random.{}.{}", k, split)] = node.bench.shared_outputs(key, [&] {
        auto network = models::build(node.model_config);
        network->initialize(Rng(seed, "untrained").sub(static_cast<std::uint64_t>(k)));
        network->to(node.bench.device);
        return node.outputs(*network, side, ids);
      });
    };
    outputs_of("forget", data::Side::kTrain, node.splits.forget);
    outputs_of("test_sample", data::Side::kTest, test_sample);
  }
}

std::vector<std::int64_t> sample_ids(const std::vector<std::int64_t>& ids, std::int64_t count,
                                     const Rng& rng) {
  const auto population = static_cast<std::int64_t>(ids.size());
  std::vector<std::int64_t> out;
  for (auto i : rng.sample(std::min(count, population), population))
    out.push_back(ids[static_cast<std::size_t>(i)]);
  std::sort(out.begin(), out.end());
  return out;
}

// Collective. Evaluates the student on the splits that are asked for and fills splits, row and (where asked)
// outputs. May train the student, in the end (`setup`: the run's own).
void evaluate_cell(Node& node, const sweep::Cell& cell, const SweepFacts& sweep,
                   const OriginalModel& original, const RunReport& report, Context::Setup setup,
                   store::Record& record) {
  const auto& settings = cell.settings.at("evaluate");
  metrics::Inputs inputs;
  inputs.method = cell.method;
  inputs.classes = node.dataset.info().task_classes();
  inputs.seed = settings.at("seed").get<std::uint64_t>();
  const bool on_retain = sweep::is_evaluated(settings, "retain");
  const bool on_val = sweep::is_evaluated(settings, "val") && !node.splits.val.empty();
  const auto train =
      node.outputs(*node.model, data::Side::kTrain, on_retain ? node.splits.train : node.splits.forget);
  const auto val =
      on_val ? node.outputs(*node.model, data::Side::kTrain, node.splits.val) : metrics::Outputs{};
  const auto test = node.outputs(*node.model, data::Side::kTest, node.splits.test);
  const double evaluated =
      node.evaluated;  // untrained networks are not the run's cost: they are shared by cells

  std::vector<const metrics::Metric*> wanted;
  bool untrained = false, relearned = false;
  for (const auto& name : sweep.metrics) {
    wanted.push_back(metrics::find_metric(name));
    EXPUNGE_CHECK(wanted.back(), "unknown metric {}", name);
    untrained |= wanted.back()->needs_random_networks && !node.task->answers_are_inputs();
    relearned |= wanted.back()->needs_relearning;
  }
  const auto test_sample = sample_ids(node.splits.test, static_cast<std::int64_t>(node.splits.forget.size()),
                                      Rng(inputs.seed, "zrf_test"));
  if (untrained) add_untrained(node, inputs, test_sample, settings);
  node.evaluated = evaluated;
  if (settings.contains("transfer"))
    add_transfer(node, settings.at("transfer"), original, cell.settings.at("original_id").get<std::string>(),
                 inputs);
  const auto before_train = from_store(original.record.outputs.at("train"));
  const auto before_forget = select_rows(before_train, node.splits.forget);
  if (relearned)
    inputs.relearn_passes = relearn_passes(
        node, std::move(setup), recipe_of(original.record),
        metrics::split_sums(before_forget).accuracy() - settings.at("relearn_margin").get<double>(),
        settings.at("relearn_passes").get<std::int64_t>());

  node.comm.together([&] {
    if (node.comm.rank() != 0) return;
    inputs.outputs["forget"] = select_rows(train, node.splits.forget);
    if (on_retain) inputs.outputs["retain"] = select_rows(train, node.splits.retain);
    inputs.outputs["test"] = test;
    inputs.outputs["test_sample"] = select_rows(test, test_sample);
    if (val.size() > 0) inputs.outputs["val"] = val;
    for (const char* split : {"forget", "retain", "test", "val"})
      if (inputs.has(split)) record.splits[split] = to_sums(inputs.get(split));
    inputs.outputs["original.forget"] = before_forget;
    inputs.outputs["original.retain"] = select_rows(before_train, node.splits.retain);
    inputs.outputs["original.test"] = from_store(original.record.outputs.at("test"));
    if (val.size() > 0) inputs.outputs["original.val"] = from_store(original.record.outputs.at("val"));
    const auto& before_test = original.record.splits.at("test");
    inputs.original_test_accuracy = static_cast<double>(before_test.correct) /
                                    static_cast<double>(std::max<std::int64_t>(1, before_test.count));
    const auto& l = report.ledger;
    inputs.unlearn_flops =
        (l.student_forward + l.teacher_forward) * node.cost.forward + l.student_backward * node.cost.backward;
    inputs.eval_flops = evaluated * node.eval_cost.forward;
    inputs.retrain_flops = cell.retrain_flops;

    std::map<std::string, double> values;
    for (const auto* metric : wanted)
      for (const auto& [column, value] : metric->compute(inputs)) values[column] = value;
    for (std::size_t i = 0; i < record.row_names.size(); ++i)
      if (const auto found = values.find(record.row_names[i]); found != values.end())
        record.row[i] = found->second;
    if (node.bench.options.keep_outputs)
      for (const char* split : {"forget", "retain", "test", "val"})
        if (inputs.has(split)) record.outputs[split] = to_store(inputs.get(split));
  });
}

}  // namespace

void remove_checkpoints(const sweep::Layout& layout, const std::string& id) {
  std::error_code ignored;
  for (int generation : {0, 1}) std::filesystem::remove(layout.checkpoint(id, generation), ignored);
}

store::Record train_original(Workbench& bench, comm::Communicator& comm, const sweep::Original& original,
                             const SweepFacts& sweep, bool publish) {
  Node node(bench, comm, original.id, original.dataset, original.model, original.settings,
            data::Ratio{0, 1, "0"});
  config::Diagnostics problems;
  auto in = config::Reader::resolved("original", original.settings.at("original"), problems);
  const config::TrainOptions defaults;
  const auto train = config::read_train_options(in, defaults);
  problems.throw_if_any();
  const auto seed = static_cast<std::uint64_t>(original.seed);
  node.model->initialize(Rng(seed, "init"));
  node.load_start();
  const auto steps =
      train.epochs * methods::steps_of(static_cast<std::int64_t>(node.splits.train.size()), train.batch);
  if (comm.rank() == 0 && bench.options.progress)
    node.progress =
        std::make_unique<Progress>("original " + original.model, "samples",
                                   train.epochs * static_cast<std::int64_t>(node.splits.train.size()));

  store::Record record;
  record.kind = "original";
  record.id = original.id, record.key = original.key;
  record.dataset = original.dataset, record.model = original.model, record.method = "original",
  record.sweep = sweep.name;
  record.seed = original.seed;
  const models::Recomputing recomputing(bench.options.recompute_blocks);
  Context ctx(node.setup(train, seed, steps));
  std::tie(record.status, record.status_text) = outcome_of([&] {
    for (std::int64_t e = 0; e < train.epochs; ++e)
      ctx.epoch(ctx.retain(), [&](const Batch& b) {
        return Terms{{"loss", ctx.task().loss(ctx.student(b), b.labels)}};
      });
  });
  if (record.status != "ok")
    throw DataError(kExitNotAsAsked,
                    fmt::format("training the original diverged ({}); lower original.lr or check the data",
                                record.status_text));
  const RunReport report = ctx.report();
  node.progress.reset();
  record.parameter_hash = node.agreed_hash();
  const auto on_train = node.outputs(*node.model, data::Side::kTrain, node.splits.train);
  const auto on_test = node.outputs(*node.model, data::Side::kTest, node.splits.test);
  const auto on_val = node.splits.val.empty()
                          ? metrics::Outputs{}
                          : node.outputs(*node.model, data::Side::kTrain, node.splits.val);
  node.describe(record, report, train, seed);
  record.text_attributes["sweep_sha256"] = sweep.sha256;
  record.config = {{"settings", original.settings}, {"flops", original.flops}, {"total_steps", steps}};
  comm.together([&] {
    if (comm.rank() != 0) return;
    for (const auto& [name, outputs] :
         {std::pair{"train", &on_train}, {"test", &on_test}, {"val", &on_val}}) {
      if (outputs->size() == 0 && std::string(name) == "val") continue;
      record.splits[name] = to_sums(*outputs);
      record.outputs[name] = to_store(*outputs);
      record.row_names.push_back(std::string(name) + "_accuracy");
      const auto& s = record.splits[name];
      record.row.push_back(s.count ? static_cast<double>(s.correct) / static_cast<double>(s.count)
                                   : std::nan(""));
    }
    if (!publish) return;
    EXPUNGE_CHECK(node.export_model(bench.layout.original_folder(original.id), record.parameter_hash),
                  "the original {} has tensors that its config.json does not tell of", original.id);
    if (store::write_record(bench.layout.original_store(original.id), record) == store::Published::kDiffers)
      log::warn("original {}: another process published different bits; its store stands", original.id);
    remove_checkpoints(bench.layout, original.id);
  });
  announce(comm, record, "original " + original.key);
  return record;
}

store::Record compute_cell(Workbench& bench, comm::Communicator& comm, const sweep::Cell& cell,
                           const SweepFacts& sweep) {
  Node node(bench, comm, cell.id, cell.dataset, cell.model, cell.settings, cell.ratio);
  const auto original_id = cell.settings.at("original_id").get<std::string>();
  const OriginalModel* original = nullptr;
  comm.together([&] { original = &bench.original(original_id); });
  const auto* runner = methods::find_runner(cell.method);
  EXPUNGE_CHECK(runner, "method {} has no runner", cell.method);
  config::Diagnostics problems;
  auto in = config::Reader::resolved("method." + cell.method, cell.settings.at("method_options"), problems);
  const auto train = runner->train(in);
  problems.throw_if_any();
  const auto seed = static_cast<std::uint64_t>(cell.seed);
  if (methods::find_descriptor(cell.method)->from_scratch) {
    node.model->initialize(Rng(seed, "init"));
    // A backbone from elsewhere has not seen D_f; a classifier that came with it has.
    if (node.start.new_head) node.load_start();
  } else {
    comm.together([&] { models::load_weights(*node.model, original->folder); });
  }

  store::Record record;
  record.id = cell.id, record.key = cell.key;
  record.dataset = cell.dataset, record.model = cell.model, record.method = cell.method,
  record.sweep = sweep.name;
  record.ratio = cell.ratio.value();
  record.seed = cell.seed;
  record.row_names = sweep.row_names;
  record.row.assign(record.row_names.size(), kNan);
  if (comm.rank() == 0 && bench.options.progress)
    node.progress = std::make_unique<Progress>(cell.method, "samples", cell.total_steps * train.batch);
  node.prepare = [&](models::Model& network) {
    return methods::prepare(cell.method, cell.settings.at("method_options"), network, seed);
  };
  const models::Recomputing recomputing(bench.options.recompute_blocks);
  auto setup = node.setup(train, seed, cell.total_steps);
  setup.budget_flops = cell.budget_flops;
  const auto program = [&](Context& ctx) {
    auto options =
        config::Reader::resolved("method." + cell.method, cell.settings.at("method_options"), problems);
    return runner->run(options, ctx);
  };
  RunReport report;
  if (node.splits.requests.empty()) {
    Context ctx(setup);
    std::tie(record.status, record.status_text) = outcome_of([&] { program(ctx); });
    report = ctx.report();
  } else {
    const auto run = unlearn_in_requests(node, cell, setup, program);
    setup.samples = node.train_samples.get();
    record.status = run.status, record.status_text = run.text;
    record.request_columns = kRequestColumns, record.requests = run.table;
    report = run.report;
  }
  node.progress.reset();
  record.parameter_hash = node.agreed_hash();
  if (bench.options.keep_models && record.status != "diverged")
    comm.together([&] {
      if (comm.rank() == 0 && !node.export_model(bench.layout.model_folder(cell.id), record.parameter_hash))
        log::warn("{}: a model with adapters is not written as a folder", cell.key);
    });
  if (record.status != "diverged")
    evaluate_cell(node, cell, sweep, *original, report, std::move(setup), record);
  node.describe(record, report, train, seed);
  record.text_attributes["sweep_sha256"] = sweep.sha256;
  record.text_attributes["auc_score"] = "gold_prob";
  record.text_attributes["mia_attacker"] = "logistic";
  record.text_attributes["mia_feature"] = "entropy";
  record.config = {{"settings", cell.settings},
                   {"flops", cell.flops},
                   {"retrain_flops", cell.retrain_flops},
                   {"eval_flops", cell.eval_flops},
                   {"budget_flops", cell.budget_flops},
                   {"total_steps", cell.total_steps},
                   {"ratio", cell.ratio.text},
                   {"metrics", sweep.metrics},
                   {"row_names", sweep.row_names}};
  announce(comm, record, cell.key);
  return record;
}

sweep::Cell cell_of_record(const store::Record& record) {
  sweep::Cell cell;
  cell.id = record.id, cell.key = record.key;
  cell.dataset = record.dataset, cell.model = record.model, cell.method = record.method;
  cell.ratio = data::Ratio::parse(record.ratio);
  cell.seed = record.seed;
  const auto& c = record.config;
  cell.settings = c.at("settings");
  cell.flops = c.at("flops").get<double>();
  cell.retrain_flops = c.at("retrain_flops").get<double>();
  cell.eval_flops = c.at("eval_flops").get<double>();
  cell.budget_flops = c.at("budget_flops").get<double>();
  cell.total_steps = c.at("total_steps").get<std::int64_t>();
  return cell;
}

sweep::Original original_of_record(const store::Record& record) {
  sweep::Original original;
  original.id = record.id, original.key = record.key;
  original.dataset = record.dataset, original.model = record.model;
  original.seed = record.seed;
  original.settings = record.config.at("settings");
  original.flops = record.config.at("flops").get<double>();
  return original;
}

}  // namespace expunge
