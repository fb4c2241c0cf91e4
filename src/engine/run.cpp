// A sweep on the ranks at hand: originals first, by all ranks together when they are few, then cells by
// groups of ranks that claim the next missing one. Nothing here changes a digit: results do not depend on how
// many ranks a node gets.
#include "engine/run.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <set>
#include <thread>

#include "core/error.hpp"
#include "core/files.hpp"
#include "core/log.hpp"
#include "core/signals.hpp"
#include "core/text.hpp"
#include "engine/cell.hpp"
#include "engine/claims.hpp"
#include "store/store_file.hpp"
#include "sweep/plan_json.hpp"

namespace expunge {
namespace {

struct Item {
  std::string id, key;
  std::filesystem::path store;
  std::function<void(comm::Communicator&)> compute;  // computes and publishes
};

// A readable store counts as done; a damaged one is set aside and redone.
bool finished(const Item& item) {
  if (!std::filesystem::exists(item.store)) return false;
  try {
    store::read_row(item.store);
    return true;
  } catch (const DataError& error) {
    log::warn("{}; computing it again", error.what());
    std::error_code ignored;
    std::filesystem::remove(item.store, ignored);
    return false;
  }
}

void write_failure(const sweep::Layout& layout, const Item& item, const Error& error) {
  const auto path = layout.failure(item.id);
  make_folder(path.parent_path());
  write_file_atomic(path, nlohmann::json{{"id", item.id},
                                         {"key", item.key},
                                         {"reason", error.what()},
                                         {"exit_code", error.exit_code()},
                                         {"host", host_name()},
                                         {"time", utc_now()}}
                                  .dump(2) +
                              "\n");
}

enum class Next : int { kNothing = -1, kWait = -2 };

class Worker {
 public:
  Worker(Workbench& bench, Claims& claims, comm::Communicator& group)
      : bench_(bench), claims_(claims), group_(group) {}

  // Works through the items until all are done, failed or held by others; with `wait`, until others have
  // finished theirs too. Collective over the group. Items that fail are recorded and left.
  void work(const std::vector<Item>& items, bool wait) {
    std::set<std::size_t> settled;
    while (requested_exit() == 0) {
      int choice = static_cast<int>(Next::kNothing);
      group_.together([&] {
        if (group_.rank() == 0) choice = choose(items, settled);
      });
      group_.broadcast(&choice, sizeof choice, 0);
      if (choice == static_cast<int>(Next::kNothing) || (choice == static_cast<int>(Next::kWait) && !wait))
        return;
      if (choice == static_cast<int>(Next::kWait)) {
        bench_.runtime.tick();
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        continue;
      }
      const Item& item = items[static_cast<std::size_t>(choice)];
      settled.insert(static_cast<std::size_t>(choice));
      run_item(item);
    }
  }

  int failed() const { return failed_; }
  bool interrupted() const { return interrupted_; }

 private:
  int choose(const std::vector<Item>& items, std::set<std::size_t>& settled) {
    bool others = false;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (settled.count(i)) continue;
      if (finished(items[i])) {
        settled.insert(i);
        continue;
      }
      if (!claims_.take(bench_.layout.claim(items[i].id))) {
        others = true;
        continue;
      }
      if (finished(items[i])) {  // published between the two looks
        claims_.release(bench_.layout.claim(items[i].id));
        settled.insert(i);
        continue;
      }
      return static_cast<int>(i);
    }
    return static_cast<int>(others ? Next::kWait : Next::kNothing);
  }

  void run_item(const Item& item) {
    bench_.runtime.phase(item.key);
    try {
      item.compute(group_);
      std::error_code ignored;
      if (group_.rank() == 0) std::filesystem::remove(bench_.layout.failure(item.id), ignored);
    } catch (const Interrupted&) {
      interrupted_ = true;
    } catch (const CommError&) {
      throw;
    } catch (const InternalError&) {
      throw;
    } catch (const Error& error) {
      ++failed_;
      if (group_.rank() == 0) {
        log::warn("{}: failed: {}", item.key, error.what());
        write_failure(bench_.layout, item, error);
      }
    }
    if (group_.rank() == 0) claims_.release(bench_.layout.claim(item.id));
  }

  Workbench& bench_;
  Claims& claims_;
  comm::Communicator& group_;
  int failed_ = 0;
  bool interrupted_ = false;
};

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
  if (store::write_record(path, record) == store::Published::kDiffers)
    log::warn("{}: another process published different bits first; its store stands", record.key);
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

void prepare_folder(comm::Communicator& world, const sweep::Plan& plan, const sweep::Layout& layout) {
  world.together([&] {
    if (world.rank() != 0) return;
    for (const char* part : {"cells", "originals", "failures", "checkpoints", "claims", "logs"})
      make_folder(layout.root / part);
    write_file_atomic(layout.plan(), sweep::plan_to_json(plan).dump(1) + "\n");
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

}  // namespace

int run_sweep(comm::Runtime& runtime, const nlohmann::json& request) {
  const auto begin = std::chrono::steady_clock::now();
  comm::Communicator& world = runtime.world();
  sweep::Plan plan;
  std::vector<std::size_t> cells;
  world.together([&] {
    plan =
        sweep::load(request.at("job").get<std::string>(), request.value("set", std::vector<std::string>{}));
    const auto selection = request.value("cells", "");
    cells.resize(plan.cells.size());
    std::iota(cells.begin(), cells.end(), std::size_t{0});
    if (!selection.empty()) cells = sweep::select_cells(plan, selection);
  });
  std::string sha = plan.sha256;
  world.broadcast_text(sha, 0);
  world.agree(sha == plan.sha256 ? "" : "this rank reads another job file than rank 0 (cell ids differ)",
              kExitConfig);
  runtime.set_stall_limit(plan.run.stall_seconds);

  RunOptions options;
  options.fresh = request.value("fresh", false);
  options.keep_outputs = plan.run.keep_outputs;
  options.checkpoint_seconds = plan.run.checkpoint_seconds;
  options.checkpoint_steps = plan.run.checkpoint_steps;
  Workbench bench(runtime,
                  sweep::Layout{std::filesystem::path(request.at("out").get<std::string>()) / plan.name},
                  options);
  const SweepFacts facts{plan.name, plan.sha256, plan.metrics, plan.row_names};
  prepare_folder(world, plan, bench.layout);
  const auto originals = original_items(bench, plan, cells, facts);
  const auto items = cell_items(bench, plan, cells, facts);
  if (options.fresh) {
    forget_results(world, bench.layout, originals);
    forget_results(world, bench.layout, items);
  }

  std::int64_t per_cell = request.value("ranks_per_cell", std::int64_t{0});
  if (per_cell <= 0) per_cell = sweep::default_ranks_per_cell(plan, world.size());
  per_cell = std::clamp<std::int64_t>(per_cell, 1, world.size());
  const int groups = (world.size() + static_cast<int>(per_cell) - 1) / static_cast<int>(per_cell);
  const auto host_group = world.split(world.rank() / static_cast<int>(per_cell), world.rank());
  bench.use_device(request.value("device", "auto"));
  const auto all = comm::make_transport(world, "auto", bench.gpu),
             group = comm::make_transport(*host_group, "auto", bench.gpu);
  if (world.rank() == 0)
    log::info("{}: {} cells, {} originals; {} rank{} in {} group{} of up to {}", plan.name, items.size(),
              originals.size(), world.size(), world.size() > 1 ? "s" : "", groups, groups > 1 ? "s" : "",
              per_cell);

  Claims claims;
  Worker together(bench, claims, *all), apart(bench, claims, *group);
  std::int64_t missing = 0;
  if (world.rank() == 0)
    missing = std::count_if(originals.begin(), originals.end(), [](const Item& i) { return !finished(i); });
  world.broadcast(&missing, sizeof missing, 0);
  if (missing >= groups && groups > 1)
    apart.work(originals, true);
  else
    together.work(originals, true);
  runtime.suspend_watchdog(true);  // other groups may still be busy for long
  world.barrier();
  runtime.suspend_watchdog(false);
  apart.work(items, false);
  runtime.suspend_watchdog(true);
  world.barrier();

  int code = std::max(requested_exit(), together.interrupted() || apart.interrupted() ? kExitRequeue : 0);
  for (int other : world.all_gather_value(code)) code = std::max(code, other);
  int failures = 0;
  for (int f : world.all_gather_value(group->rank() == 0 ? apart.failed() : 0)) failures += f;
  failures += together.failed();
  if (world.rank() == 0) {
    std::vector<std::string> parts;
    for (const auto& [status, count] : count_statuses(items))
      parts.push_back(fmt::format("{} {}", count, status));
    fmt::print(
        "{}: {} cells: {}; {}\n", plan.name, items.size(), join(parts, ", "),
        human_seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()));
    if (failures > 0) fmt::print("failures: {}\n", (bench.layout.root / "failures").string());
    if (code != 0) fmt::print("interrupted; run the same command again to go on\n");
    std::fflush(stdout);
  }
  return code != 0 ? code : failures > 0 ? kExitNotAsAsked : kExitOk;
}

}  // namespace expunge
