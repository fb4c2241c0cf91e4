#include "board/merge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "board/scan.hpp"
#include "core/error.hpp"
#include "core/files.hpp"
#include "core/numbers.hpp"
#include "core/text.hpp"

namespace expunge::board {
namespace {

constexpr std::size_t kMostLines = 20;

// Of several stores of one cell: equal science keeps any of them; else the one of the latest restart stands,
// then the first name.
Found& choose(std::vector<Found*>& stores, const PlannedCell& cell, Merge& merge, std::string& reason) {
  std::stable_sort(stores.begin(), stores.end(), [](const Found* a, const Found* b) {
    return a->header.restart_count > b->header.restart_count;
  });
  Found& kept = *stores.front();
  bool same = true;
  for (const auto* other : stores) same &= other->header.science_sha256 == kept.header.science_sha256;
  for (std::size_t i = 1; i < stores.size(); ++i)
    merge.problems[same ? "duplicate" : "conflict"].push_back(
        fmt::format("{}: {} and {} {}; the first is used", cell.key, kept.file, stores[i]->file,
                    same ? "are equal" : "differ"));
  if (!same) reason = fmt::format("{} stores differ; {} is used", stores.size(), kept.file);
  return kept;
}

struct Failure {
  std::string reason;  // empty: there is no record
  std::string line;
};

Failure read_failure(const fs::path& folder, const std::string& id) {
  const fs::path path = folder / "failures" / (id + ".json");
  std::error_code ignored;
  if (id.empty() || !fs::exists(path, ignored)) return {};
  try {
    const auto json = nlohmann::json::parse(read_file(path));
    const auto reason = json.value("reason", "no reason recorded");
    return {reason, fmt::format("{} (exit {}, {}, {})", reason, json.value("exit_code", 0),
                                json.value("host", "?"), json.value("time", "?"))};
  } catch (const std::exception& error) {
    return {"unreadable failure record",
            fmt::format("unreadable failure record {}: {}", path.filename().string(), error.what())};
  }
}

// A cell without a usable store.
void explain(Row& row, const Found* broken, const fs::path& folder, Merge& merge) {
  if (broken) {
    row.status = broken->state;
    row.reason = broken->reason;
    return;  // listed with the files
  }
  if (const Failure own = read_failure(folder, row.cell.id); !own.reason.empty()) {
    row.status = "failed";
    row.reason = own.reason;
    merge.problems["failed"].push_back(fmt::format("{} {}: {}", row.cell.id, row.cell.key, own.line));
    return;
  }
  row.status = "missing";
  const Failure original = read_failure(folder, row.cell.original_id);
  row.reason = original.reason.empty() ? "not run" : "its original failed: " + original.reason;
  merge.problems["missing"].push_back(fmt::format("{} {}: {}", row.cell.id, row.cell.key, row.reason));
}

// Moves what the store said into the row: a large sweep is in memory once.
void take(Row& row, Found& found, const std::vector<std::string>& timing_names) {
  auto& h = found.header;
  row.status = std::move(h.status);
  if (row.reason.empty()) row.reason = std::move(h.status_text);
  row.values = std::move(h.row);
  for (std::size_t t = 0; t < timing_names.size(); ++t)
    if (const auto at = h.timing.find(timing_names[t]); at != h.timing.end()) row.timing[t] = at->second;
  row.parameter_hash = std::move(h.parameter_hash);
  row.science_sha256 = std::move(h.science_sha256);
  row.config_sha256 = std::move(h.config_sha256);
  row.config_json = std::move(h.config_json);
  row.git_hash = std::move(h.git_hash);
  row.host = std::move(h.host);
  h.timing.clear();
}

// Stores by the cell they belong to, and what is wrong with the others.
struct Sorted {
  std::unordered_map<std::string_view, std::vector<Found*>> good;
  std::unordered_map<std::string, const Found*> broken;  // by the id in the file's name
};

Sorted sort_out(const SweepPlan& plan, Scan& scan, Merge& merge) {
  Sorted out;
  std::unordered_set<std::string_view> planned;
  for (const auto& cell : plan.cells) planned.insert(cell.id);
  for (auto& found : scan.found) {
    if (found.state.empty() && found.header.kind != "run") {
      found.state = "foreign";
      found.reason = fmt::format("holds an {}", found.header.kind);
    } else if (found.state.empty() && !planned.count(found.header.id)) {
      found.state = "foreign";
      found.reason = fmt::format("belongs to no cell of this sweep: {} of sweep \"{}\"", found.header.key,
                                 found.header.sweep);
    }
    if (found.state.empty()) {
      out.good[found.header.id].push_back(&found);
      continue;
    }
    merge.problems[found.state].push_back(fmt::format("cells/{}: {}", found.file, found.reason));
    const std::string stem = fs::path(found.file).stem().string();
    if (planned.count(stem)) out.broken[stem] = &found;
  }
  return out;
}

// `0-3,7`.
std::string ranges(const std::vector<std::size_t>& sorted) {
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < sorted.size();) {
    std::size_t j = i;
    while (j + 1 < sorted.size() && sorted[j + 1] == sorted[j] + 1) ++j;
    parts.push_back(i == j ? std::to_string(sorted[i]) : fmt::format("{}-{}", sorted[i], sorted[j]));
    i = j + 1;
  }
  return join(parts, ",");
}

// Two runs of one cell that gave different results: the loser left a record, the store is the winner's.
void list_conflicts(const fs::path& folder, Merge& merge) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder / "conflicts", ignored))
    merge.problems["conflict"].push_back(
        fmt::format("conflicts/{}: two runs of this cell differ; the store is of the first",
                    entry.path().filename().string()));
}

}  // namespace

Merge merge(const fs::path& folder, int readers, const fs::path& index) {
  const SweepPlan plan = read_plan(folder / "plan.json");
  Merge out;
  Board& board = out.board;
  board.sweep = plan.name;
  board.sweep_sha256 = plan.sha256;
  board.row_names = plan.row_names;
  Scan scan = scan_stores(folder / "cells", plan.row_names, readers, index);
  Sorted sorted = sort_out(plan, scan, out);
  std::set<std::string> timing;
  for (const auto& [id, stores] : sorted.good)
    for (const auto& [name, seconds] : stores.front()->header.timing) timing.insert(name);
  board.timing_names.assign(timing.begin(), timing.end());
  board.rows.reserve(plan.cells.size());
  for (std::size_t i = 0; i < plan.cells.size(); ++i) {
    Row row;
    row.cell = plan.cells[i];
    row.values.assign(board.row_names.size(), kNan);
    row.timing.assign(board.timing_names.size(), kNan);
    if (const auto good = sorted.good.find(row.cell.id); good != sorted.good.end()) {
      take(row, choose(good->second, row.cell, out, row.reason), board.timing_names);
    } else {
      const auto broken = sorted.broken.find(row.cell.id);
      explain(row, broken == sorted.broken.end() ? nullptr : broken->second, folder, out);
      out.again.push_back(i);
    }
    board.rows.push_back(std::move(row));
  }
  std::sort(board.rows.begin(), board.rows.end(), [](const Row& a, const Row& b) {
    return std::tie(a.cell.key, a.cell.id) < std::tie(b.cell.key, b.cell.id);
  });
  list_conflicts(folder, out);
  for (const auto& file : scan.unfinished)
    out.problems["unfinished"].push_back(fmt::format("cells/{}: not published; ignored", file));
  return out;
}

std::string report(const Merge& merge) {
  std::string out;
  for (const auto& [kind, lines] : merge.problems) {
    for (std::size_t i = 0; i < std::min(kMostLines, lines.size()); ++i)
      out += fmt::format("{}: {}\n", kind, lines[i]);
    if (lines.size() > kMostLines) out += fmt::format("{}: {} more\n", kind, lines.size() - kMostLines);
  }
  if (!merge.again.empty()) out += fmt::format("without a result: --cells {}\n", ranges(merge.again));
  const Board& b = merge.board;
  const auto listed = [&](const char* kind) {
    const auto found = merge.problems.find(kind);
    return found == merge.problems.end() ? std::size_t{0} : found->second.size();
  };
  std::vector<std::string> parts = {fmt::format("merged {} of {}", b.merged(), b.rows.size())};
  for (const char* kind : {"failed", "corrupt", "foreign", "missing"})
    parts.push_back(fmt::format("{} {}", kind, listed(kind)));
  for (const char* kind : {"duplicate", "conflict", "unfinished"})
    if (listed(kind) > 0) parts.push_back(fmt::format("{} {}", kind, listed(kind)));
  return out + join(parts, "; ") + "\n";
}

}  // namespace expunge::board
