// What `expunge scale` asks of its ranks: real steps of a job's original or cell, with the seconds of every
// rank taken apart, and ordered sums on their own. Nothing is written but the data cache.
#include <algorithm>
#include <cstddef>

#include "comm/bench_allreduce.hpp"
#include "comm/watched.hpp"
#include "core/counted.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/median.hpp"
#include "engine/cell.hpp"
#include "engine/context_impl.hpp"
#include "engine/node.hpp"
#include "engine/run.hpp"
#include "engine/sharing.hpp"
#include "engine/step_clock.hpp"
#include "methods/runner_registry.hpp"
#include "models/torch/recompute.hpp"
#include "stat/scaling_model.hpp"

namespace expunge {
namespace {

using nlohmann::json;

constexpr std::int64_t kWarm = 3;
constexpr double kSumSeconds = 0.1;  // for each size and kind of sum

struct Wish {
  bool weak = false;
  std::int64_t steps = 20, threads = 0;  // 0: the job's
};

// What a run is made of, whichever kind it is.
struct Run {
  std::string what;
  config::TrainOptions train;
  std::uint64_t seed = 0;
  std::unique_ptr<Node> node;
  std::function<void(Context&)> program;
};

Run original_run(Workbench& bench, comm::Communicator& comm, const sweep::Original& original) {
  Run run;
  run.what = "original " + original.key;
  run.node = std::make_unique<Node>(bench, comm, original.id, original.dataset, original.model,
                                    original.settings, data::Ratio{0, 1, "0"});
  config::Diagnostics problems;
  auto in = config::Reader::resolved("original", original.settings.at("original"), problems);
  run.train = config::read_train_options(in, config::TrainOptions{});
  problems.throw_if_any();
  run.seed = static_cast<std::uint64_t>(original.seed);
  run.program = [](Context& ctx) {
    while (true)  // until the clock has seen enough
      ctx.epoch(ctx.retain(), [&](const Batch& b) {
        return Terms{{"loss", ctx.task().loss(ctx.student(b), b.labels)}};
      });
  };
  return run;
}

// The method's own program, from freshly initialised weights: what a step costs does not depend on them, and
// no original is needed.
Run cell_run(Workbench& bench, comm::Communicator& comm, const sweep::Cell& cell) {
  Run run;
  run.what = cell.key;
  run.node =
      std::make_unique<Node>(bench, comm, cell.id, cell.dataset, cell.model, cell.settings, cell.ratio);
  const auto* runner = methods::find_runner(cell.method);
  EXPUNGE_CHECK(runner, "method {} has no runner", cell.method);
  const std::string section = "method." + cell.method;
  config::Diagnostics problems;
  auto in = config::Reader::resolved(section, cell.settings.at("method_options"), problems);
  run.train = runner->train(in);
  problems.throw_if_any();
  run.seed = static_cast<std::uint64_t>(cell.seed);
  run.node->prepare = [&cell, seed = run.seed](models::Model& network) {
    return methods::prepare(cell.method, cell.settings.at("method_options"), network, seed);
  };
  run.program = [&cell, runner, section](Context& ctx) {
    config::Diagnostics found;
    auto options = config::Reader::resolved(section, cell.settings.at("method_options"), found);
    runner->run(options, ctx);
  };
  return run;
}

// Weak scaling: as many samples a rank as the job has on one, in grains of the same size.
void size_for_ranks(Run& run, const Wish& wish, int ranks) {
  if (run.train.grain <= 0)
    run.train.grain = config::default_grain(run.train.batch, !run.node->model->batch_norms().empty());
  if (wish.weak) run.train.batch *= ranks;
  if (wish.threads > 0) run.train.threads = wish.threads;
  const auto samples = static_cast<std::int64_t>(run.node->splits.train.size());
  if (samples < run.train.batch)
    throw AgreedError(kExitConfig,
                      fmt::format("a step of {} samples on {}, but the data set has {}: fewer ranks, "
                                  "or a larger data.train_limit",
                                  run.train.batch, counted(ranks, "rank"), samples));
}

// Every rank's steps, by step: [step][rank].
std::vector<std::vector<MeasuredStep>> gather_steps(comm::Communicator& comm, std::vector<MeasuredStep> mine,
                                                    std::int64_t steps) {
  mine.erase(mine.begin(), mine.begin() + std::min<std::ptrdiff_t>(kWarm, std::ssize(mine) - 1));
  if (std::ssize(mine) > steps) mine.resize(static_cast<std::size_t>(steps));
  std::vector<std::vector<MeasuredStep>> out;
  for (const auto& step : mine) out.push_back(comm.all_gather_value(step));
  return out;
}

// Medians and means over the steps.
json summary_of(const std::vector<std::vector<MeasuredStep>>& steps, std::int64_t grains, int ranks) {
  std::vector<double> seconds, grain, fixed;
  stat::StepShares sum;
  for (const auto& step : steps) {
    std::vector<stat::RankStep> parts;
    for (std::size_t r = 0; r < step.size(); ++r) {
      parts.push_back(step[r].part);
      fixed.push_back(step[r].fixed);
      const auto [first, last] = comm::owned_leaves(grains, static_cast<int>(r), ranks);
      if (last > first) grain.push_back(step[r].grains / static_cast<double>(last - first));
    }
    const auto shares = stat::share_step(parts);
    seconds.push_back(shares.total());
    sum.compute += shares.compute, sum.input += shares.input;
    sum.imbalance += shares.imbalance, sum.communication += shares.communication;
  }
  const double total = sum.total();
  return {{"steps", steps.size()},
          {"step_s", median(seconds)},
          {"samples_per_s", static_cast<double>(steps.front().front().samples) / median(seconds)},
          {"samples", steps.front().front().samples},
          {"compute", sum.compute / total},
          {"input", sum.input / total},
          {"imbalance", sum.imbalance / total},
          {"communication", sum.communication / total},
          {"grain_s", median(grain)},
          {"fixed_s", median(fixed)}};
}

// Ordered and native sums of these sizes and of the run's own.
json time_sums(comm::Communicator& comm, const comm::Arithmetic& arithmetic, std::int64_t own,
               const std::function<void()>& tick) {
  json out = json::array();
  if (comm.size() == 1) return out;
  for (const std::int64_t bytes :
       {std::int64_t{4} << 10, std::int64_t{64} << 10, std::int64_t{1} << 20, std::int64_t{8} << 20, own}) {
    const auto t = comm::time_allreduce(comm, arithmetic, bytes, tick, kSumSeconds);
    out.push_back({{"bytes", t.bytes}, {"ordered_s", t.ordered_s}, {"native_s", t.native_s}});
  }
  return out;
}

std::vector<MeasuredStep> take_steps(Run& run, comm::Watched& watched, const Wish& wish) {
  Node& node = *run.node;
  node.model->initialize(Rng(run.seed, "init"));
  Context::Setup setup = node.setup(run.train, run.seed, kWarm + wish.steps);
  StepClock clock(watched, kWarm + wish.steps);
  const TimedSource samples(*node.train_samples, clock.input);
  setup.samples = &samples;
  setup.load_ahead = false;  // read inside the step, so that its seconds can be told apart
  setup.poll = [&] { return clock.begin_step(); };
  setup.progress = [&](std::int64_t count) { clock.end_step(count); };
  setup.save = [](const store::Checkpoint&) {};
  const models::Recomputing recomputing(node.bench.options.recompute_blocks);
  Context ctx(std::move(setup));
  try {
    run.program(ctx);
    clock.begin_step();  // a method that ends by itself: closes its last step
  } catch (const Interrupted&) {
  } catch (const Stopped&) {
  }
  return clock.whole();
}

}  // namespace

double step_rate(Workbench& bench, const sweep::Original& original, std::int64_t steps) {
  const auto self = comm::make_self();
  comm::Watched watched(*self);
  const Wish wish{false, steps, 0};
  Run run = original_run(bench, watched, original);
  size_for_ranks(run, wish, 1);
  auto taken = take_steps(run, watched, wish);
  EXPUNGE_CHECK(!taken.empty(), "{}: no whole step to measure", run.what);
  std::vector<double> seconds;
  std::int64_t samples = 0;
  for (const auto& step : gather_steps(watched, std::move(taken), steps)) {
    seconds.push_back(step.front().part.step);
    samples = step.front().samples;
  }
  return static_cast<double>(samples) / median(seconds);
}

int probe_scaling(comm::Runtime& runtime, const json& request) {
  comm::Communicator& world = runtime.world();
  sweep::Plan plan;
  std::vector<std::size_t> chosen;
  const auto selection = request.value("cell", "");
  world.together([&] {
    plan =
        sweep::load(request.at("job").get<std::string>(), request.value("set", std::vector<std::string>{}));
    if (!selection.empty()) chosen = sweep::select_cells(plan, selection);
    if (chosen.size() > 1)
      throw UsageError(fmt::format("--cell {}: {} cells; expected one", selection, chosen.size()));
  });
  runtime.set_stall_limit(plan.run.stall_seconds);
  RunOptions options;
  options.checkpoints = false;
  options.progress = false;
  options.teacher_megabytes = plan.run.teacher_megabytes;
  options.flat_sums = plan.run.flat_sums;
  options.recompute_blocks = plan.run.recompute_blocks;
  options.cuda_graphs = plan.run.cuda_graphs;
  Workbench bench(runtime, sweep::Layout{std::filesystem::temp_directory_path()}, options);
  bench.use_device(request.value("device", "auto"));
  const auto ranks = comm::make_transport(world, "auto", bench.gpu);
  comm::Watched watched(*ranks);
  const Wish wish{request.value("weak", false), request.value("steps", std::int64_t{20}),
                  request.value("threads", std::int64_t{0})};
  Run run;
  world.together([&] {
    run = chosen.empty() ? original_run(bench, watched, plan.originals.at(0))
                         : cell_run(bench, watched, plan.cells[chosen[0]]);
  });
  size_for_ranks(run, wish, world.size());
  const auto steps = take_steps(run, watched, wish);
  if (steps.empty()) throw AgreedError(kExitConfig, run.what + ": no whole step to measure");
  const auto all = gather_steps(world, steps, wish.steps);
  // Of the job's own step: a stream of several sources has a batch of each.
  const std::int64_t grains = (steps.front().samples + run.train.grain - 1) / run.train.grain;
  std::int64_t floats = run.node->parameters->trainable.size();
  for (const auto* bn : run.node->model->batch_norms()) floats += 2 * bn->running_mean.numel();
  const auto sum_bytes = floats * static_cast<std::int64_t>(sizeof(float));

  json line = summary_of(all, grains, world.size());
  line["scale"] = 1;
  line["what"] = run.what;
  line["ranks"] = world.size();
  line["threads"] = run.train.threads;
  line["transport"] = ranks->transport();
  line["mpi"] = runtime.mpi_version();
  line["host"] = host_name();
  line["grain"] = run.train.grain;
  line["grains"] = grains;
  line["sum_bytes"] = sum_bytes;
  line["report_bytes"] = offsetof(GrainReport, losses);
  line["sums"] = time_sums(*ranks, bench.gpu ? bench.gpu->arithmetic() : comm::host_arithmetic(), sum_bytes,
                           [&] { runtime.tick(); });
  if (world.rank() == 0) fmt::print("{}\n", line.dump());
  std::fflush(stdout);
  return kExitOk;
}

}  // namespace expunge
