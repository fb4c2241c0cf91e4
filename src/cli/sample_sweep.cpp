#include "cli/sample_sweep.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "board/plan_file.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/hash.hpp"
#include "methods/method.hpp"
#include "metrics/metric.hpp"
#include "store/store_file.hpp"
#include "sweep/outline.hpp"
#include "sweep/plan_json.hpp"

namespace expunge::cli {
namespace {

std::string short_hash(const std::string& text) { return sha256_hex(text).substr(0, 16); }

// Columns of the metrics that most jobs ask for.
std::vector<std::string> usual_columns() {
  std::vector<std::string> out;
  for (const char* name : {"accuracy", "auc", "mia", "zrf", "overall", "calibration", "flops"})
    for (const auto& column : metrics::find_metric(name)->columns) out.push_back(column.name);
  return out;
}

// Cell i of a sweep of 25 seeds x 10 ratios x all methods x as many models and data sets as it takes.
board::PlannedCell made_up_cell(std::int64_t i) {
  static const auto methods = methods::descriptor_names();
  constexpr std::int64_t kSeeds = 25, kRatios = 10, kModels = 20;
  std::int64_t rest = i;
  const auto next = [&rest](std::int64_t of) {
    const auto at = rest % of;
    rest /= of;
    return at;
  };
  board::PlannedCell out;
  out.seed = next(kSeeds);
  out.ratio = static_cast<double>(next(kRatios) + 1) / 100;
  out.method = methods[static_cast<std::size_t>(next(std::ssize(methods)))];
  out.model = fmt::format("model_{}", next(kModels));
  out.dataset = fmt::format("data_{}", next(INT64_MAX));
  out.key = fmt::format("dataset={}/model={}/method={}/ratio={:g}/seed={}", out.dataset, out.model,
                        out.method, out.ratio, out.seed);
  out.id = short_hash(out.key);
  out.original_id = short_hash(out.dataset + out.model);
  return out;
}

// As large as a real cell's: two kilobytes of settings, of which seed and original alone differ within a
// (data set, model, method, ratio).
nlohmann::json settings_of(const board::PlannedCell& cell) {
  nlohmann::json settings = {{"dataset", cell.dataset}, {"model", cell.model},
                             {"method", cell.method},   {"ratio", cell.ratio},
                             {"seed", cell.seed},       {"original_id", cell.original_id}};
  for (int k = 0; k < 40; ++k)
    settings[fmt::format("some_setting_{}", k)] = fmt::format("{} of {}", k, cell.method);
  return {{"settings", settings}, {"total_steps", 1000 * cell.ratio}};
}

store::Record record_of(const board::PlannedCell& cell, const std::string& sweep,
                        const std::vector<std::string>& columns) {
  store::Record r;
  r.id = cell.id, r.key = cell.key;
  r.dataset = cell.dataset, r.model = cell.model, r.method = cell.method, r.sweep = sweep;
  r.ratio = cell.ratio;
  r.seed = cell.seed;
  r.row_names = columns;
  const auto first = static_cast<double>(xxh64(cell.id.data(), cell.id.size()) % 100'000);
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const double share = 0.5 + 0.4 * std::sin(first + static_cast<double>(c));
    r.row.push_back(columns[c].ends_with("flops") ? 1e15 * share : share);
  }
  for (const char* split : {"forget", "retain", "test"})
    r.splits[split] = {1000, 900, 10, 12.5, std::vector<std::int64_t>(100, cell.seed)};
  r.parameter_hash = xxh128_hex(r.id.data(), r.id.size());
  r.config = settings_of(cell);
  r.history_columns = {"epoch", "loss"};
  r.history = {0, 1.5, 1, 0.5};
  r.segments = {{1, 0, 100, host_name(), utc_now()}};
  r.timing = {{"wall", 2}, {"unlearn", 1}, {"eval", 0.5}, {"load", 0.1}, {"comm", 0}, {"checkpoint", 0}};
  r.flops = {{"forward", 1e12}, {"backward", 2e12}};
  return r;
}

// fn(p) in one process a core; p counts them.
void in_processes(std::int64_t processes, const std::function<void(std::int64_t)>& fn) {
  std::vector<pid_t> children;
  for (std::int64_t p = 0; p < processes; ++p) {
    const pid_t child = ::fork();
    if (child != 0) {
      children.push_back(child);
      continue;
    }
    int code = 0;
    try {
      fn(p);
    } catch (const Error& error) {
      fmt::print(stderr, "{}\n", error.what());
      code = error.exit_code();
    }
    ::_exit(code);
  }
  for (const auto child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
      throw DataError::cannot_write("the stores could not be written");
  }
}

// A plan like that of a job, of cells that no job has.
sweep::Plan made_up_plan(std::int64_t count) {
  sweep::Plan plan;
  plan.name = "bench";
  plan.sha256 = std::string(64, '0');
  plan.row_names = usual_columns();
  std::map<std::string, std::size_t> originals;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto made_up = made_up_cell(i);
    const auto [found, added] = originals.try_emplace(made_up.original_id, plan.originals.size());
    if (added) {
      plan.originals.emplace_back();
      plan.originals.back().id = made_up.original_id;
    }
    sweep::Cell cell;
    cell.id = made_up.id, cell.key = made_up.key;
    cell.dataset = made_up.dataset, cell.model = made_up.model, cell.method = made_up.method;
    cell.ratio = data::Ratio::parse(made_up.ratio);
    cell.seed = made_up.seed;
    cell.original = found->second;
    plan.cells.push_back(std::move(cell));
  }
  return plan;
}

}  // namespace

std::int64_t write_sample_sweep(const SampleSweep& sweep) {
  const auto plan = sweep.job.empty() ? made_up_plan(sweep.count) : sweep::load_outline(sweep.job);
  const sweep::Layout layout{sweep.folder};
  make_folder(layout.root);
  write_file_atomic(layout.plan(), sweep::plan_text(plan));
  for (int k = 0; k < 256; ++k) make_folder(layout.root / "cells" / fmt::format("{:02x}", k));
  const auto write = [&](const fs::path& path, const store::Record& record) {
    if (sweep.summaries)
      store::write_summary(path, record);
    else
      store::write_record(path, record);
  };
  const auto processes = static_cast<std::int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  in_processes(processes, [&](std::int64_t p) {
    for (auto i = static_cast<std::size_t>(p); i < plan.cells.size();
         i += static_cast<std::size_t>(processes)) {
      const auto& c = plan.cells[i];
      const board::PlannedCell cell{
          c.id, c.key, c.dataset, c.model, c.method, plan.originals[c.original].id, c.ratio.value(), c.seed};
      write(layout.cell_store(c.id), record_of(cell, plan.name, plan.row_names));
    }
  });
  if (!sweep.job.empty())
    for (const auto& o : plan.originals) {
      auto record = record_of({o.id, o.key, o.dataset, o.model, "original", o.id, 0, o.seed}, plan.name,
                              plan.row_names);
      record.kind = "original";
      write(layout.original_store(o.id), record);
    }
  return std::ssize(plan.cells);
}

}  // namespace expunge::cli
