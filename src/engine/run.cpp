// A sweep on the ranks at hand: originals first, by all ranks together when they are few, then cells by
// groups of ranks that claim the next missing one (engine/worker.hpp). Nothing here changes a digit: results
// do not depend on how many ranks a node gets.
#include "engine/run.hpp"

#include <unistd.h>

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <set>

#include "comm/abort_hook.hpp"
#include "core/counted.hpp"
#include "core/error.hpp"
#include "core/fault.hpp"
#include "core/files.hpp"
#include "core/log.hpp"
#include "core/signals.hpp"
#include "core/text.hpp"
#include "engine/cell.hpp"
#include "engine/sharing.hpp"
#include "engine/worker.hpp"
#include "store/store_file.hpp"
#include "sweep/plan_json.hpp"

namespace expunge {
namespace {

constexpr std::int64_t kSharingSteps = 20;  // of a trial of --sharing auto

std::vector<Item> original_items(Workbench& bench, const sweep::Plan& plan,
                                 const std::vector<std::size_t>& cells, const SweepFacts& facts) {
  std::set<std::size_t> needed;
  for (auto c : cells) needed.insert(plan.cells[c].original);
  std::vector<Item> out;
  for (auto o : needed) {
    const auto& original = plan.originals[o];
    out.push_back({original.id, "original " + original.key, bench.layout.original_store(original.id),
                   [&bench, &original, &facts](comm::Communicator& comm) {
                     train_original(bench, comm, original, facts);
                   }});
  }
  return out;
}

void publish_cell(Workbench& bench, const store::Record& record) {
  const auto path = bench.layout.cell_store(record.id);
  make_folder(path.parent_path());
  if (store::write_record(path, record) == store::Published::kDiffers) {
    log::warn("{}: another process published different bits first; its store stands", record.key);
    const auto first = store::read_row(path);
    const auto folder = bench.layout.root / "conflicts";
    make_folder(folder);
    write_file_atomic(folder / (record.id + ".json"),
                      nlohmann::json{{"id", record.id},
                                     {"key", record.key},
                                     {"published", first.science_sha256},
                                     {"published_parameters", first.parameter_hash},
                                     {"other", store::science_sha256(record)},
                                     {"other_parameters", record.parameter_hash},
                                     {"host", host_name()},
                                     {"time", utc_now()}}
                              .dump(2) +
                          "\n");
  }
  remove_checkpoints(bench.layout, record.id);
}

// Longest first, so that the tail of the sweep is short.
std::vector<Item> cell_items(Workbench& bench, const sweep::Plan& plan, std::vector<std::size_t> cells,
                             const SweepFacts& facts) {
  std::stable_sort(cells.begin(), cells.end(),
                   [&](auto a, auto b) { return plan.cells[a].flops > plan.cells[b].flops; });
  std::vector<Item> out;
  for (auto c : cells) {
    const auto& cell = plan.cells[c];
    const auto original_store = bench.layout.original_store(plan.originals[cell.original].id);
    out.push_back({cell.id, cell.key, bench.layout.cell_store(cell.id),
                   [&bench, &cell, &facts, original_store](comm::Communicator& comm) {
                     if (!std::filesystem::exists(original_store))
                       throw DataError::missing(
                           fmt::format("{}: the original is not there", original_store.string()));
                     const auto record = compute_cell(bench, comm, cell, facts);
                     comm.together([&] {
                       if (comm.rank() == 0) publish_cell(bench, record);
                     });
                   }});
  }
  return out;
}

// Many tasks may start at once, each from its own copy of the job file: the plan is written where it is
// another one, not by each.
void write_plan(const sweep::Plan& plan, const sweep::Layout& layout) {
  const std::string text = sweep::plan_text(plan);
  if (std::filesystem::exists(layout.plan())) {
    const MappedFile there(layout.plan());
    // The same but for the name of the job file?
    const auto without_name = [](std::string_view plan_text) {
      const std::string_view key = "\"file\": \"";
      const auto at = plan_text.rfind(key), end = plan_text.find('"', at + key.size());
      return at == std::string_view::npos ? std::pair{plan_text, std::string_view()}
                                          : std::pair{plan_text.substr(0, at), plan_text.substr(end)};
    };
    if (without_name(text) == without_name(there.view())) return;
  }
  write_file_atomic(layout.plan(), text);
}

void prepare_folder(comm::Communicator& world, const sweep::Plan& plan, const sweep::Layout& layout) {
  world.together([&] {
    if (world.rank() != 0) return;
    for (const char* part : {"cells", "originals", "failures", "checkpoints", "claims", "logs"})
      make_folder(layout.root / part);
    write_plan(plan, layout);
  });
}

// `--fresh`: forget what was computed before.
void forget_results(comm::Communicator& world, const sweep::Layout& layout, const std::vector<Item>& items) {
  world.together([&] {
    if (world.rank() != 0) return;
    std::error_code ignored;
    for (const auto& item : items) {
      std::filesystem::remove(item.store, ignored);
      std::filesystem::remove(layout.failure(item.id), ignored);
      remove_checkpoints(layout, item.id);
    }
  });
}

// `finished` items of this sweep over all groups, by status, from the stores themselves.
std::map<std::string, int> count_statuses(const std::vector<Item>& items) {
  std::map<std::string, int> out;
  for (const auto& item : items) {
    std::string status = "missing";
    try {
      status = store::read_row(item.store).status;
    } catch (const Error&) {
    }
    ++out[status];
  }
  return out;
}

// A task that the scheduler started again and again without an end: told, and not tried once more.
// Collective.
bool too_many_restarts(comm::Communicator& world, const sweep::Layout& layout, const std::vector<Item>& items,
                       std::int64_t most) {
  const char* text = std::getenv("SLURM_RESTART_COUNT");
  std::int64_t restarts = text ? std::strtoll(text, nullptr, 10) : 0;
  world.broadcast(&restarts, sizeof restarts, 0);
  if (most < 0 || restarts <= most) return false;
  if (world.rank() == 0) {
    const std::string reason =
        fmt::format("restarted {} times without finishing (at most {})", restarts, most);
    fmt::print(stderr, "expunge: {}\n", reason);
    for (const auto& item : items)
      if (!finished(item)) write_failure(layout, item, kExitTooManyRestarts, reason, "");
  }
  return true;
}

// One call of `run`, the same on every rank. Of the request: job, out, cells, set, fresh, device, sharing,
// ranks_per_cell, only ("originals" or "cells": that stage alone, and 66 for cells whose original is not
// there), max_restarts (86 when the scheduler started it more often).
class SweepRun {
 public:
  SweepRun(comm::Runtime& runtime, const nlohmann::json& request)
      : runtime_(runtime), world_(runtime.world()), request_(request), only_(request.value("only", "")) {
    world_.agree(only_.empty() || only_ == "originals" || only_ == "cells"
                     ? ""
                     : fmt::format("--only {}: expected originals or cells", only_),
                 kExitUsage);
    load();
    bench_ = std::make_unique<Workbench>(
        runtime, sweep::Layout{std::filesystem::path(request.at("out").get<std::string>()) / plan_.name},
        run_options());
    facts_ = {plan_.name, plan_.sha256, plan_.metrics, plan_.row_names};
    prepare_folder(world_, plan_, bench_->layout);
    originals_ = original_items(*bench_, plan_, cells_, facts_);
    items_ = cell_items(*bench_, plan_, cells_, facts_);
    if (!bench_->options.fresh) return;
    if (only_ != "cells") forget_results(world_, bench_->layout, originals_);
    if (only_ != "originals") forget_results(world_, bench_->layout, items_);
  }

  int run() {
    if (too_many_restarts(world_, bench_->layout, worked_on(),
                          request_.value("max_restarts", std::int64_t{-1})))
      return kExitTooManyRestarts;
    make_groups();
    Claims claims;
    Worker together(*bench_, claims, *all_, token_), apart(*bench_, claims, *group_, token_);
    comm::set_abort_hook([&](int code, const std::string& message) {
      for (const Worker* worker : {&together, &apart})
        if (const Item* item = worker->current()) write_failure(bench_->layout, *item, code, message, token_);
    });
    try {
      if (only_ != "cells") train_originals(together, apart);
      if (only_ != "originals") compute_cells(apart);
    } catch (const AgreedError&) {
      comm::set_abort_hook({});
      throw;
    } catch (const Error& error) {  // here, while the record of what was at work can be written
      runtime_.abort(error.exit_code(), error.what());
    } catch (const std::exception& error) {
      runtime_.abort(kExitInternal, error.what());
    }
    comm::set_abort_hook({});
    return conclude(together, apart);
  }

 private:
  void load() {
    world_.together([&] {
      plan_ = sweep::load(request_.at("job").get<std::string>(),
                          request_.value("set", std::vector<std::string>{}));
      const auto selection = request_.value("cells", "");
      cells_.resize(plan_.cells.size());
      std::iota(cells_.begin(), cells_.end(), std::size_t{0});
      if (!selection.empty()) cells_ = sweep::select_cells(plan_, selection);
    });
    std::string sha = plan_.sha256;
    world_.broadcast_text(sha, 0);
    world_.agree(sha == plan_.sha256 ? "" : "this rank reads another job file than rank 0 (cell ids differ)",
                 kExitConfig);
    const char* shared =
        std::getenv("EXPUNGE_RUN");  // of tasks side by side that count as one run (launch/local.sh)
    token_ = shared ? shared : fmt::format("{} {} {}", host_name(), ::getpid(), utc_now());
    world_.broadcast_text(token_, 0);
    runtime_.set_stall_limit(plan_.run.stall_seconds);
  }

  RunOptions run_options() const {
    RunOptions options;
    options.fresh = request_.value("fresh", false);
    options.keep_outputs = plan_.run.keep_outputs;
    options.keep_models = plan_.run.keep_models;
    options.checkpoint_seconds = plan_.run.checkpoint_seconds;
    options.checkpoint_steps = plan_.run.checkpoint_steps;
    options.teacher_megabytes = plan_.run.teacher_megabytes;
    options.flat_sums = plan_.run.flat_sums;
    options.recompute_blocks = plan_.run.recompute_blocks;
    options.cuda_graphs = plan_.run.cuda_graphs;
    return options;
  }

  void make_groups() {
    std::int64_t wish = request_.value("ranks_per_cell", std::int64_t{0});
    if (wish <= 0) wish = sweep::default_ranks_per_cell(plan_, world_.size());
    const int per_cell = static_cast<int>(std::clamp<std::int64_t>(wish, 1, world_.size()));
    bench_->use_device(request_.value("device", "auto"));
    choose_workers(per_cell);
    const auto workers = world_.split(works_ ? 0 : 1, world_.rank());
    const int place = workers->rank();
    groups_ = (workers->size() + per_cell - 1) / per_cell;
    first_of_group_ = world_.rank() - place % per_cell;
    const auto host_group = workers->split(place / per_cell, place);
    all_ = comm::make_transport(*workers, "auto", bench_->gpu);
    group_ = comm::make_transport(*host_group, "auto", bench_->gpu);
    if (world_.rank() == 0)
      log::info("{}: {} cells, {} originals; {} in {} of up to {}", plan_.name, items_.size(),
                originals_.size(), counted(world_.size(), "rank"), counted(groups_, "group"), per_cell);
  }

  // Sets works_: of the ranks that share a device perhaps only some compute, the others wait.
  void choose_workers(int per_cell) {
    const std::string wish = request_.value("sharing", "all");
    if (wish == "all") return;
    int working = 0;
    const auto [end, error] = std::from_chars(wish.data(), wish.data() + wish.size(), working);
    const bool measured = wish == "auto",
               number = error == std::errc() && end == wish.data() + wish.size() && working > 0;
    world_.agree(measured || number ? "" : fmt::format("--sharing {}: expected all, auto or a number", wish),
                 kExitUsage);
    world_.agree(per_cell == 1 ? "" : "--sharing is about cells of one rank each: with --ranks-per-cell 1",
                 kExitUsage);
    std::array<char, 256> mine{};
    const std::string device =
        bench_->gpu ? bench_->gpu->device(bench_->gpu->current_device()).uuid : host_name();
    std::copy_n(device.begin(), std::min(device.size(), mine.size() - 1), mine.begin());
    std::vector<std::string> devices;
    for (const auto& name : world_.all_gather_value(mine)) devices.emplace_back(name.data());
    const auto places = places_on_devices(devices);
    const int place = places[static_cast<std::size_t>(world_.rank())];
    if (measured)
      working = calibrate_sharing(
          world_, place, *std::max_element(places.begin(), places.end()) + 1, [&] { return rate_alone(); },
          [&] { return free_share(); });
    works_ = place < working;
    if (world_.rank() == 0)
      log::info("{} at a time on a {}", counted(working, "rank"), bench_->gpu ? "GPU" : "node");
  }

  // Samples a second of this rank by itself; 0 when a GPU's memory is not enough.
  double rate_alone() {
    try {
      return step_rate(*bench_, plan_.originals.front(), kSharingSteps);
    } catch (const c10::OutOfMemoryError&) {
      return 0;
    }
  }

  double free_share() const {
    if (!bench_->gpu) return 1;
    const auto device = bench_->gpu->device(bench_->gpu->current_device());
    return static_cast<double>(device.free_bytes) / static_cast<double>(device.total_bytes);
  }

  // By all ranks together when they are few.
  void train_originals(Worker& together, Worker& apart) {
    std::int64_t missing = 0;
    if (world_.rank() == 0)
      missing =
          std::count_if(originals_.begin(), originals_.end(), [](const Item& i) { return !finished(i); });
    world_.broadcast(&missing, sizeof missing, 0);
    const bool each_its_own = missing >= groups_ && groups_ > 1;
    if (!works_) return wait_for_all();
    if (each_its_own)
      fault::set_place(world_.rank(), first_of_group_, first_of_group_ + group_->size());
    else
      fault::set_place(world_.rank(), 0, world_.size());
    (each_its_own ? apart : together).work(originals_, true);
    wait_for_all();
  }

  void compute_cells(Worker& apart) {
    fault::set_place(world_.rank(), first_of_group_, first_of_group_ + group_->size());
    // A scheduler's task owns its cells: who else holds one is a dead or doubled incarnation, and its end is
    // waited for.
    if (works_) apart.work(items_, only_ == "cells");
    wait_for_all();
  }

  void wait_for_all() {
    runtime_.suspend_watchdog(true);  // other groups may still be busy for long
    world_.barrier();
    runtime_.suspend_watchdog(false);
  }

  const std::vector<Item>& worked_on() const { return only_ == "originals" ? originals_ : items_; }

  int conclude(const Worker& together, const Worker& apart) {
    int code = std::max(requested_exit(), together.interrupted() || apart.interrupted() ? kExitRequeue : 0);
    for (int other : world_.all_gather_value(code)) code = std::max(code, other);
    int failures = together.failed();
    for (int f : world_.all_gather_value(group_->rank() == 0 ? apart.failed() : 0)) failures += f;
    bool input_missing = false;
    for (const int m : world_.all_gather_value(static_cast<int>(apart.input_missing())))
      input_missing |= m != 0;
    if (world_.rank() == 0) summarise(code, failures);
    if (code != 0) return code;
    if (input_missing && only_ == "cells") return kExitMissing;
    return failures > 0 ? kExitNotAsAsked : kExitOk;
  }

  void summarise(int code, int failures) const {
    std::vector<std::string> parts;
    for (const auto& [status, count] : count_statuses(worked_on()))
      parts.push_back(fmt::format("{} {}", count, status));
    fmt::print(
        "{}: {} {}: {}; {}\n", plan_.name, worked_on().size(), only_ == "originals" ? "originals" : "cells",
        join(parts, ", "),
        human_seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count()));
    if (failures > 0) fmt::print("failures: {}\n", (bench_->layout.root / "failures").string());
    if (code != 0) fmt::print("interrupted; run the same command again to go on\n");
    std::fflush(stdout);
  }

  comm::Runtime& runtime_;
  comm::Communicator& world_;
  const nlohmann::json& request_;
  std::string only_, token_;  // token_: of this call, on all ranks
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  sweep::Plan plan_;
  std::vector<std::size_t> cells_;
  std::unique_ptr<Workbench> bench_;
  SweepFacts facts_;
  std::vector<Item> originals_, items_;
  int groups_ = 1, first_of_group_ = 0;
  bool works_ = true;  // false: other ranks of the same device compute, this one waits
  std::unique_ptr<comm::Communicator> all_, group_;
};

}  // namespace

int run_sweep(comm::Runtime& runtime, const nlohmann::json& request) {
  return SweepRun(runtime, request).run();
}

}  // namespace expunge
