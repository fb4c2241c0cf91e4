#include "engine/node.hpp"

#include <ATen/Parallel.h>
#include <sys/resource.h>

#include <algorithm>

#include "core/build_info.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/log.hpp"
#include "core/progress.hpp"
#include "core/signals.hpp"
#include "data/text_samples.hpp"
#include "engine/data_source.hpp"
#include "engine/device.hpp"
#include "engine/evaluate.hpp"
#include "engine/graph_source.hpp"
#include "engine/text_source.hpp"
#include "models/torch/blocks.hpp"
#include "models/torch/start.hpp"
#include "store/checkpoint_file.hpp"

namespace expunge {
namespace {

double seconds_since(std::chrono::steady_clock::time_point t) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
}

models::InputShape shape_of(const data::Info& info) {
  return {info.channels, info.height, info.width, info.classes, info.tokens, info.vocabulary, info.nodes};
}

data::DataOptions data_options_of(const nlohmann::json& settings) {
  config::Diagnostics problems;
  auto in = config::Reader::resolved("data", settings.at("data"), problems);
  auto options = data::read_data_options(in);
  problems.throw_if_any();
  return options;
}

// Optimiser steps of the run up to a checkpoint, those of earlier deletion requests included.
std::int64_t steps_of(const store::Checkpoint& c) {
  return c.state.at("global_step").get<std::int64_t>() + c.state.value("steps_before", std::int64_t{0});
}

}  // namespace

Node::Node(Workbench& b, comm::Communicator& c, const std::string& node_id, const std::string& dataset_name,
           const std::string& model_name, const nlohmann::json& settings, const data::Ratio& ratio)
    : bench(b),
      comm(c),
      id(node_id),
      dataset(b.dataset(dataset_name, settings.value("dataset_options", nlohmann::json::object()))),
      data_options(data_options_of(settings)),
      splits(data::make_splits(dataset, data_options, ratio)),
      start(models::choose(model_name, settings.value("model_options", nlohmann::json::object()),
                           shape_of(dataset.info()))),
      descriptor(*start.descriptor),
      model_config(start.config) {
  const auto& info = dataset.info();
  model = models::build(model_config);
  task = info.task == "causal_lm"
             ? tasks::make_causal_lm(info.vocabulary, answers_of(dataset, splits.retain))
             : tasks::make_classification(info.classes, data::class_weights(dataset, splits, data_options));
  eval_grain = settings.at("evaluate").at("grain").get<std::int64_t>();
  reduction = settings.value("reduction", "ordered");
  comm_before = comm.seconds();
}

void Node::load_start() {
  comm.together([&] { models::load_start(*model, start); });
}

bool Node::export_model(const std::filesystem::path& folder, const std::string& parameter_hash) const {
  std::vector<std::filesystem::path> companions;
  const auto& info = dataset.info();
  if (info.classified_text() && info.tokenizer != data::kWords && info.tokenizer != data::kBytes)
    companions = data::tokenizer_files(data::find_tokenizer(info.tokenizer));
  if (const auto processor = start.weights / "preprocessor_config.json";
      !start.weights.empty() && std::filesystem::exists(processor))
    companions.push_back(processor);
  return models::save_model(*model, folder, companions, {{"id", id}, {"parameter_hash", parameter_hash}});
}

Context::Setup Node::setup(const config::TrainOptions& train, std::uint64_t seed, std::int64_t total_steps) {
  at::set_num_threads(static_cast<int>(train.threads));
  use_precision(train.precision, bench.device);
  trainable = models::resolve_trainable(train.trainable, descriptor, model_config);
  std::function<bool(const std::string&)> trains = [this](const std::string& name) {
    return trainable.trains(name);
  };
  const auto adapt = [this, train, seed](models::Model& m) {
    if (trainable.kind == models::Trainable::Kind::kLora)
      models::add_adapters(m, trainable.projections, trainable.rank, train.lora_alpha, train.lora_dropout,
                           Rng(seed, "lora"));
    return prepare ? prepare(m) : nullptr;
  };
  if (const auto own = adapt(*model)) trains = own;
  parameters = std::make_shared<tensor::FlatParameters>(*model, bench.device, trains, train.optimizer.decay);
  sample_seed = seed;
  take_samples(splits.forget, splits.retain);
  grain = train.grain > 0 ? train.grain : config::default_grain(train.batch, !model->batch_norms().empty());
  const auto whole =
      models::cost_of(descriptor, model_config, dataset.info().height, dataset.info().width, trainable);
  cost = models::in_grains(whole, grain);
  eval_cost = models::in_grains(whole, eval_grain);

  Context::Setup s;
  s.comm = &comm;
  s.model = model;
  s.parameters = parameters;
  s.make_model = [this, adapt] {
    auto made = models::build(model_config);
    adapt(*made);
    return made;
  };
  s.eval_frozen = trainable.kind == models::Trainable::Kind::kFusion;
  s.task = task.get();
  s.samples = train_samples.get();
  s.forget = splits.forget;
  s.retain = splits.retain;
  s.unseen = splits.val;
  s.train = train;
  s.grain = grain;
  s.seed = seed;
  s.total_steps = total_steps;
  s.cost = cost;
  suit(s, {bench.device, bench.gpu}, bench.options.cuda_graphs);
  // Passes of one sample would starve a GPU, and run a graph as a whole; else they lose little on a
  // processor, and repeated ones are saved.
  s.inputs_repeat = bench.device.is_cpu() && graph.empty() && train.epochs > 1 &&
                    data_options.augment_crop == 0 && !data_options.augment_flip;
  s.teacher_bytes = bench.options.teacher_megabytes << 20;
  s.native_reduction = reduction == "native";
  s.ranks_per_node = bench.options.flat_sums ? 1 : comm::OrderedSum::kAsTheNodesAre;
  s.cell_id = id;
  s.tick = [this] { bench.runtime.tick(); };
  s.progress = [this](std::int64_t samples) {
    if (progress) progress->add(samples);
  };
  s.poll = [this, steps = std::int64_t{0}]() mutable {
    int wish = requested_exit() != 0 ? kPollStop : 0;
    ++steps;
    if (comm.rank() == 0 &&
        (seconds_since(saved) > bench.options.checkpoint_seconds ||
         (bench.options.checkpoint_steps > 0 && steps % bench.options.checkpoint_steps == 0)))
      wish |= kPollCheckpoint;
    return wish;
  };
  s.save = [this](const store::Checkpoint& c) {
    if (!bench.options.checkpoints) return;
    store::Checkpoint with = c;
    segments.back().last_step = steps_of(c);
    for (const auto& seg : segments)
      with.state["segments"].push_back(
          {seg.world_size, seg.first_step, seg.last_step, seg.host, seg.started_utc});
    const auto path = bench.layout.checkpoint(id, static_cast<int>(c.sequence % 2));
    make_folder(path.parent_path());
    store::write_checkpoint(path, with);
    saved = std::chrono::steady_clock::now();
  };

  // All ranks read the same generation: rank 0's newest.
  comm.together([&] {
    if (bench.options.checkpoints)
      s.resume = store::read_newest(bench.layout.checkpoint(id, 0), bench.layout.checkpoint(id, 1));
  });
  const auto sequences = comm.all_gather_value<std::int64_t>(s.resume ? s.resume->sequence : -1);
  if (std::any_of(sequences.begin(), sequences.end(), [&](auto q) { return q != sequences[0]; }))
    throw DataError::corrupt(fmt::format("checkpoint of {}: the ranks see different generations", id));
  if (s.resume && s.resume->cell_id != id)
    throw DataError::corrupt(fmt::format("checkpoint of {}: belongs to {}", id, s.resume->cell_id));
  std::int64_t first_step = 0;
  if (s.resume) {
    first_step = steps_of(*s.resume);
    for (const auto& seg : s.resume->state.at("segments"))
      segments.push_back({seg[0].get<std::int64_t>(), seg[1].get<std::int64_t>(), seg[2].get<std::int64_t>(),
                          seg[3].get<std::string>(), seg[4].get<std::string>()});
    if (comm.rank() == 0) log::info("{}: resuming at step {}", id, first_step);
  }
  segments.push_back({comm.size(), first_step, first_step, host_name(), utc_now()});
  load_seconds = seconds_since(started);
  return s;
}

void Node::take_samples(const std::vector<std::int64_t>& forget, const std::vector<std::int64_t>& retain) {
  if (dataset.info().nodes > 0) graph = make_graph(dataset, forget, retain, bench.device);
  train_samples = samples_of(data::Side::kTrain, sample_seed);
}

std::unique_ptr<SampleSource> Node::samples_of(data::Side side, std::uint64_t seed) {
  return make_source(dataset, side, data_options, seed, bench.device, graph);
}

metrics::Outputs Node::outputs(models::Model& of, data::Side side, const std::vector<std::int64_t>& ids) {
  const auto before = std::chrono::steady_clock::now();
  const auto samples = samples_of(side, 0);
  auto out = evaluate(of, *task, *samples, ids, eval_grain, comm, [&] { bench.runtime.tick(); });
  eval_seconds += seconds_since(before);
  evaluated += static_cast<double>(ids.size());
  return out;
}

std::string Node::agreed_hash() {
  const std::string hash = parameters->hash();
  std::array<char, 32> mine{};
  std::copy_n(hash.begin(), std::min(hash.size(), mine.size()), mine.begin());
  for (const auto& other : comm.all_gather_value(mine))
    EXPUNGE_CHECK(other == mine, "ranks hold different parameters at the end of {}", id);
  return hash;
}

void Node::describe(store::Record& record, const RunReport& report, const config::TrainOptions& train,
                    std::uint64_t seed) {
  struct PerRank {
    double busy, comm, load, eval, method, checkpoint, resident;
  };
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const double wall = seconds_since(started), in_comm = comm.seconds() - comm_before;
  const auto ranks =
      comm.all_gather_value(PerRank{wall - in_comm, in_comm, load_seconds, eval_seconds, report.seconds,
                                    report.checkpoint_seconds, static_cast<double>(usage.ru_maxrss) * 1024});
  const auto slowest = [&](double PerRank::*member) {
    double out = 0;
    for (const auto& r : ranks) out = std::max(out, r.*member);
    return out;
  };
  record.timing = {{"wall", wall},
                   {"load", slowest(&PerRank::load)},
                   {"unlearn", slowest(&PerRank::method)},
                   {"eval", slowest(&PerRank::eval)},
                   {"checkpoint", slowest(&PerRank::checkpoint)},
                   {"comm", slowest(&PerRank::comm)}};
  record.rank_seconds.clear();
  for (const auto& r : ranks) record.rank_seconds.push_back(r.busy);

  const auto& l = report.ledger;
  const auto& info = dataset.info();
  // Tokens of a text, or, as the trainer counts them, values of an image.
  const double pixels =
      static_cast<double>(std::max<std::int64_t>(1, info.channels) * info.height * info.width);
  record.flops = {
      {"forward", l.student_forward * cost.forward},
      {"backward", l.student_backward * cost.backward},
      {"teacher", l.teacher_forward * cost.forward},
      {"teacher_kept", l.teacher_kept * cost.forward},  // of these, remembered
      {"unlearn_total",
       (l.student_forward + l.teacher_forward) * cost.forward + l.student_backward * cost.backward},
      {"eval_total", evaluated * eval_cost.forward},
      {"hf_6NT", 6 * pixels * static_cast<double>(descriptor.parameters(model_config)) * l.student_backward}};
  record.history_columns = kHistoryColumns;
  record.history = report.history;
  segments.back().last_step = report.steps;
  record.segments = segments;
  record.text_attributes["dataset_checksum"] = dataset.checksum();
  record.text_attributes["deletion_sha256"] = splits.deletion_sha256;
  record.text_attributes["trainable"] = train.trainable;
  record.text_attributes["trainable_share"] = fmt::format("{:.4f}", trainable.share);
  record.integer_attributes["trainable_parameters"] = trainable.parameters;
  record.integer_attributes["lora_rank"] = trainable.rank;
  record.text_attributes["reduction"] = reduction;
  record.text_attributes["transport"] = comm.transport();
  record.text_attributes["device"] = bench.device.is_cpu() ? "cpu" : "cuda";
  record.text_attributes["dtype"] = train.precision;
  record.text_attributes["torch_version"] = build_info::kTorchVersion;
  record.text_attributes["mpi_version"] = bench.runtime.mpi_version();
  record.integer_attributes["world_size"] = comm.size();
  record.integer_attributes["grain"] = grain;
  record.integer_attributes["threads"] = train.threads;
  record.integer_attributes["batch"] = train.batch;
  record.integer_attributes["steps"] = report.steps;
  record.integer_attributes["recompute_blocks"] = bench.options.recompute_blocks;
  record.integer_attributes["run_seed"] = static_cast<std::int64_t>(seed);
  record.integer_attributes["peak_resident_bytes"] = static_cast<std::int64_t>(slowest(&PerRank::resident));
}

}  // namespace expunge
