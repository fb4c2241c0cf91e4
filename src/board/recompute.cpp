#include "board/recompute.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "core/error.hpp"
#include "core/numbers.hpp"
#include "core/text.hpp"
#include "store/store_file.hpp"

namespace expunge::board {
namespace {

metrics::Outputs to_outputs(const store::SplitOutputs& o) {
  return {o.ids, o.labels, o.logits, o.classes, o.answers};
}

// The rows with the ids of `like`; empty when one is not there.
metrics::Outputs rows_of(const store::SplitOutputs& from, const std::vector<std::int64_t>& ids) {
  metrics::Outputs out;
  out.classes = from.classes, out.answers = from.answers;
  for (const std::int64_t id : ids) {
    const auto found = std::lower_bound(from.ids.begin(), from.ids.end(), id);
    if (found == from.ids.end() || *found != id) return {};
    const auto at = static_cast<std::size_t>(found - from.ids.begin());
    const auto classes = static_cast<std::size_t>(from.classes);
    out.ids.push_back(id);
    out.labels.push_back(from.labels[at]);
    const auto begin = from.logits.begin() + static_cast<std::ptrdiff_t>(at * classes);
    out.logits.insert(out.logits.end(), begin, begin + from.classes);
  }
  return out;
}

double number_at(const nlohmann::json& config, const char* key) {
  return config.contains(key) && config.at(key).is_number() ? config.at(key).get<double>() : kNan;
}

void add_original(const store::Record& original, metrics::Inputs& in) {
  if (const auto sums = original.splits.find("test"); sums != original.splits.end() && sums->second.count > 0)
    in.original_test_accuracy =
        static_cast<double>(sums->second.correct) / static_cast<double>(sums->second.count);
  const auto train = original.outputs.find("train");
  for (const char* split : {"forget", "retain"})
    if (in.has(split) && train != original.outputs.end()) {
      auto rows = rows_of(train->second, in.get(split).ids);
      if (rows.size() > 0) in.outputs[std::string("original.") + split] = std::move(rows);
    }
  for (const char* split : {"test", "val"})
    if (const auto found = original.outputs.find(split); found != original.outputs.end())
      in.outputs[std::string("original.") + split] = to_outputs(found->second);
}

void add_costs(const store::Record& cell, metrics::Inputs& in) {
  const auto flops = [&](const char* name) {
    const auto found = cell.flops.find(name);
    return found == cell.flops.end() ? kNan : found->second;
  };
  in.unlearn_flops = flops("unlearn_total");
  in.eval_flops = flops("eval_total");
  in.retrain_flops = number_at(cell.config, "retrain_flops");
}

std::size_t column_of(Board& board, const std::string& name) {
  const auto found = std::find(board.row_names.begin(), board.row_names.end(), name);
  if (found != board.row_names.end()) return static_cast<std::size_t>(found - board.row_names.begin());
  board.row_names.push_back(name);
  for (auto& row : board.rows) row.values.push_back(kNan);
  return board.row_names.size() - 1;
}

const metrics::Metric& recomputable(const std::string& name) {
  const auto* metric = metrics::find_metric(name);
  if (!metric)
    throw UsageError(fmt::format("unknown metric {}{}", name, did_you_mean(name, metrics::metric_names())));
  if (!from_outputs_alone(*metric))
    throw UsageError(fmt::format(
        "{} needs {}, which stores do not keep: run the cells with it in [evaluate] metrics", name,
        metric->needs_relearning ? "the unlearned model"
        : metric->needs_transfer ? "outputs on other data sets"
                                 : "outputs of untrained networks"));
  return *metric;
}

using CellPlace = std::tuple<std::string, std::string, double, std::int64_t, std::string>;

CellPlace place_of(const Row& row) {
  return {row.cell.dataset, row.cell.model, row.cell.ratio, row.cell.seed, row.cell.original_id};
}

}  // namespace

bool from_outputs_alone(const metrics::Metric& metric) {
  return !metric.needs_random_networks && !metric.needs_relearning && !metric.needs_transfer;
}

const Row* retrain_of(const Board& board, const Row& row) {
  for (const auto& other : board.rows)
    if (other.cell.method == "retrain" && other.status == "ok" && place_of(other) == place_of(row))
      return &other;
  return nullptr;
}

const store::Record* KeptOutputs::cell(const std::string& id) {
  const auto path = folder_ / "cells" / id.substr(0, 2) / (id + ".h5");
  if (!std::filesystem::exists(path)) return nullptr;
  cell_ = store::read_record(path);
  return &cell_;
}

const store::Record* KeptOutputs::original(const std::string& id) {
  if (const auto found = originals_.find(id); found != originals_.end()) return &found->second;
  const auto path = folder_ / "originals" / id / "store.h5";
  if (id.empty() || !std::filesystem::exists(path)) return nullptr;
  originals_.clear();
  return &originals_.emplace(id, store::read_record(path)).first->second;
}

bool KeptOutputs::load(const Row& row, const Row* retrain, metrics::Inputs& into, std::string& reason) {
  const store::Record* record = cell(row.cell.id);
  reason = !record                   ? "its store is not under the sweep's folder"
           : record->outputs.empty() ? "it keeps no outputs; run it with [run] keep_outputs = true"
                                     : "";
  if (!reason.empty()) return false;
  for (const auto& [split, outputs] : record->outputs) into.outputs[split] = to_outputs(outputs);
  into.method = row.cell.method;
  const auto& any = record->outputs.begin()->second;
  into.classes = any.answers ? 0 : any.classes;
  into.seed = record->config.value(nlohmann::json::json_pointer("/settings/evaluate/seed"), std::uint64_t{0});
  add_costs(*record, into);
  if (const auto* before = original(row.cell.original_id)) add_original(*before, into);
  if (!retrain || retrain->cell.id == row.cell.id) return true;
  if (retrain_id_ != retrain->cell.id) {
    if (const auto* other = cell(retrain->cell.id)) {
      retrain_ = *other;
      retrain_id_ = retrain->cell.id;
    }
  }
  if (retrain_id_ == retrain->cell.id)
    for (const auto& [split, outputs] : retrain_.outputs)
      into.outputs["retrain." + split] = to_outputs(outputs);
  return true;
}

Recomputed recompute(const std::filesystem::path& folder, const std::vector<std::string>& metric_names,
                     Board& board, std::int64_t evaluation_seed) {
  std::vector<const metrics::Metric*> wanted;
  for (const auto& name : metric_names) wanted.push_back(&recomputable(name));
  for (const auto* metric : wanted)
    for (const auto& column : metric->columns) column_of(board, column.name);
  // Cells that share an original and a retrained cell one after the other.
  std::map<CellPlace, const Row*> retrained;
  std::vector<Row*> rows;
  for (auto& row : board.rows) {
    if (row.merged()) rows.push_back(&row);
    if (row.cell.method == "retrain" && row.status == "ok") retrained[place_of(row)] = &row;
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row* a, const Row* b) {
    return std::tuple(a->cell.original_id, place_of(*a)) < std::tuple(b->cell.original_id, place_of(*b));
  });
  Recomputed out;
  KeptOutputs kept(folder);
  for (Row* row : rows) {
    metrics::Inputs in;
    std::string reason;
    const auto reference = retrained.find(place_of(*row));
    if (!kept.load(*row, reference == retrained.end() ? nullptr : reference->second, in, reason)) {
      ++out.skipped[reason];
      continue;
    }
    if (evaluation_seed >= 0) in.seed = static_cast<std::uint64_t>(evaluation_seed);
    for (const auto* metric : wanted)
      for (const auto& [column, value] : metric->compute(in)) row->values[column_of(board, column)] = value;
    ++out.cells;
  }
  for (const auto* metric : wanted)
    if (std::find(board.recomputed.begin(), board.recomputed.end(), metric->name) == board.recomputed.end())
      board.recomputed.push_back(metric->name);
  return out;
}

}  // namespace expunge::board
