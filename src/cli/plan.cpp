// `expunge plan`: what a sweep will do and cost in FLOPs, time and memory, and what of it is done.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/commands.hpp"
#include "cli/table.hpp"
#include "cluster/memory.hpp"
#include "core/counted.hpp"
#include "core/error.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "sweep/outline.hpp"
#include "sweep/plan_json.hpp"
#include "sweep/status.hpp"

namespace expunge::cli {
namespace plan_command {

// Single-precision convolutions on one core of a current server processor; `expunge doctor` measures the
// machine's own.
constexpr double kDefaultGflops = 20;

struct Work {
  double originals = 0, cells = 0, evaluation = 0;  // FLOPs still to do
  double total() const { return originals + cells + evaluation; }
};

double capped(const sweep::Cell& cell) {
  return cell.budget_flops > 0 ? std::min(cell.flops, cell.budget_flops) : cell.flops;
}

Work work_left(const sweep::Plan& plan, const sweep::Status& status) {
  Work out;
  std::vector<bool> needed(plan.originals.size(), false);
  for (std::size_t i = 0; i < plan.cells.size(); ++i) {
    if (status.cells[i] == sweep::State::kDone) continue;
    out.cells += capped(plan.cells[i]);
    out.evaluation += plan.cells[i].eval_flops;
    needed[plan.cells[i].original] = true;
  }
  for (std::size_t i = 0; i < plan.originals.size(); ++i)
    if (needed[i] && status.originals[i] != sweep::State::kDone) out.originals += plan.originals[i].flops;
  return out;
}

struct MethodLine {
  std::int64_t cells = 0, missing = 0, steps = 0;
  double flops = 0, retrain = 0;
};

void print_methods(const sweep::Plan& plan, const sweep::Status& status) {
  std::vector<std::string> order;
  std::map<std::string, MethodLine> lines;
  for (std::size_t i = 0; i < plan.cells.size(); ++i) {
    const auto& cell = plan.cells[i];
    auto& line = lines[cell.method];
    if (line.cells++ == 0) order.push_back(cell.method);
    line.missing += status.cells[i] != sweep::State::kDone;
    line.steps += cell.total_steps;
    line.flops += capped(cell);
    line.retrain += cell.retrain_flops;
  }
  std::vector<std::vector<std::string>> rows{
      {"method", "cells", "to do", "steps a cell", "FLOPs a cell", "% of retrain", "FLOPs"}};
  for (const auto& name : order) {
    const auto& l = lines.at(name);
    const auto cells = static_cast<double>(l.cells);
    rows.push_back({name, fmt::format("{}", l.cells), fmt::format("{}", l.missing),
                    fmt::format("{:.0f}", static_cast<double>(l.steps) / cells), human_flops(l.flops / cells),
                    l.retrain > 0 ? fmt::format("{:.1f}", 100 * l.flops / l.retrain) : "-",
                    human_flops(l.flops)});
  }
  fmt::print("\n{}", text_table(rows));
}

void print_cells(const sweep::Plan& plan, const sweep::Status& status) {
  std::vector<std::vector<std::string>> rows{{"cell", "id", "state", "FLOPs", "key"}};
  for (std::size_t i = 0; i < plan.cells.size(); ++i) {
    const auto& cell = plan.cells[i];
    rows.push_back({fmt::format("{}", i), cell.id, sweep::state_name(status.cells[i]),
                    human_flops(capped(cell)), cell.key});
  }
  fmt::print("\n{}", text_table(rows));
}

// Of the largest run of each data set and model.
void print_memory(const sweep::Plan& plan, std::int64_t ranks_per_cell) {
  std::vector<std::vector<std::string>> rows{{"data set", "model", "largest run", "peak", "process", "data",
                                              "outputs", "parameters", "gradients", "optimizer", "copies",
                                              "activations"}};
  for (const auto& [dataset, model, run, m] : plan.memory) {
    rows.push_back({dataset, model, run});
    for (const double bytes :
         {m.total(ranks_per_cell), m.process, m.data, m.outputs, m.parameters, m.gradients(ranks_per_cell),
          m.optimizer_of(ranks_per_cell), m.copies, m.activations})
      rows.back().push_back(human_bytes(bytes));
  }
  fmt::print("\nmemory of a rank, estimated:\n{}", text_table(rows));
}

struct Estimate {
  double gflops = kDefaultGflops;
  std::int64_t ranks = 1;
  double seconds(const Work& work) const {
    return work.total() / (gflops * 1e9 * static_cast<double>(ranks));
  }
};

void print_text(const sweep::Plan& plan, const sweep::Status& status, const sweep::Layout& layout,
                const Estimate& estimate) {
  const auto done = status.count(sweep::State::kDone), failed = status.count(sweep::State::kFailed);
  fmt::print("{}: {} from {}\n", plan.name, counted(std::ssize(plan.cells), "cell"),
             counted(std::ssize(plan.originals), "original"));
  fmt::print("{}: {} done, {} failed, {} missing\n", layout.root.string(), done, failed,
             status.count(sweep::State::kMissing));
  std::vector<std::vector<std::string>> rows{{"original", "id", "state", "parameters", "FLOPs"}};
  for (std::size_t i = 0; i < plan.originals.size(); ++i) {
    const auto& o = plan.originals[i];
    rows.push_back({o.key, o.id, sweep::state_name(status.originals[i]),
                    fmt::format("{:.2f} M", static_cast<double>(o.parameters) / 1e6), human_flops(o.flops)});
  }
  fmt::print("\n{}", text_table(rows));
  print_methods(plan, status);
  const auto work = work_left(plan, status);
  fmt::print("\nto do: {} originals, {} unlearning, {} evaluation\n", human_flops(work.originals),
             human_flops(work.cells), human_flops(work.evaluation));
  fmt::print("about {} on {} of {} GFLOP/s each (--ranks, --gflops)\n", human_seconds(estimate.seconds(work)),
             counted(estimate.ranks, "rank"), estimate.gflops);
  print_memory(plan, sweep::default_ranks_per_cell(plan, static_cast<int>(estimate.ranks)));
  const bool large = sweep::default_ranks_per_cell(plan, 2) > 1;
  fmt::print("ranks per cell: {}\n",
             large ? "all, a model has 20 M parameters or more (--ranks-per-cell of run)"
                   : "1 (--ranks-per-cell of run)");
}

std::string as_json(const sweep::Plan& plan, const sweep::Status& status, const Estimate& estimate) {
  auto out = sweep::plan_head(plan);
  for (std::size_t i = 0; i < plan.originals.size(); ++i)
    out["originals"][i]["state"] = sweep::state_name(status.originals[i]);
  const auto work = work_left(plan, status);
  out["done"] = status.count(sweep::State::kDone);
  out["failed"] = status.count(sweep::State::kFailed);
  out["missing"] = status.count(sweep::State::kMissing);
  out["to_do"] = {{"originals_flops", work.originals},   {"cells_flops", work.cells},
                  {"evaluation_flops", work.evaluation}, {"seconds", estimate.seconds(work)},
                  {"gflops_per_rank", estimate.gflops},  {"ranks", estimate.ranks}};
  const int per_cell = sweep::default_ranks_per_cell(plan, static_cast<int>(estimate.ranks));
  out["ranks_per_cell"] = per_cell;
  for (const auto& group : plan.memory) {
    auto line = sweep::to_json(group.memory, per_cell);
    line.update({{"dataset", group.dataset}, {"model", group.model}, {"run", group.run}});
    out["memory"].push_back(std::move(line));
  }
  const auto cell = [&](std::size_t i) {
    auto line = sweep::plan_cell(plan, i);
    line["state"] = sweep::state_name(status.cells[i]);
    return line;
  };
  return sweep::dump_with_cells(out, plan.cells.size(), cell, 1);
}

int run(Args& args) {
  const bool json = args.flag("--json", "print the plan as JSON");
  const bool cells = args.flag("--cells", "list every cell");
  const auto out = args.option("--out", "DIR", "results", "folder that holds the sweep's folder");
  const auto overrides = args.repeated("--set", "SECTION.KEY=VALUE", "override a setting");
  Estimate estimate;
  estimate.gflops =
      args.number("--gflops", "N", kDefaultGflops, "speed of one rank for the estimate, GFLOP/s");
  estimate.ranks = args.integer("--ranks", "N", 1, 1, "ranks for the estimate");
  const auto site =
      args.option("--site", "FILE", "", "site file: warn of runs that need more memory than it gives");
  const auto job = args.positionals("JOB.toml", 1, 1, "job file");
  args.finish();
  const auto plan = sweep::load_outline(job[0], overrides);
  if (!site.empty())
    for (const auto& line : cluster::memory_warnings(plan, cluster::read_site(site))) log::warn("{}", line);
  const sweep::Layout layout{std::filesystem::path(out) / plan.name};
  const auto status = sweep::read_status(plan, layout);
  if (json) {
    fmt::print("{}\n", as_json(plan, status, estimate));
    return kExitOk;
  }
  print_text(plan, status, layout, estimate);
  if (cells) print_cells(plan, status);
  return kExitOk;
}

const RegisterCommand entry{"plan", "cells, what is done, FLOPs and estimated time of a sweep", run};

}  // namespace plan_command
}  // namespace expunge::cli
